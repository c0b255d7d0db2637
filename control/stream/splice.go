// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Splice hands the messages of either end to the other until one of them ends, and closes both. It holds one message a direction. If the
// lower end goes without having said how it ended, the upper is told so; below names the lower end for that.
func Splice(ctx context.Context, upper, lower *Conn, below string) error {
	var ended atomic.Bool
	type side struct {
		lower bool
		err   error
	}
	sides := make(chan side, 2)
	go func() {
		sides <- side{true, pump(ctx, lower, upper, func(kind byte) { ended.Store(ended.Load() || kind == wire.StreamEnd) })}
	}()
	go func() { sides <- side{false, pump(ctx, upper, lower, func(byte) {})} }()
	first := <-sides
	err := first.err
	if first.lower && !ended.Load() {
		err = fmt.Errorf("lost %s: %w", below, err)
		_ = upper.SendJSON(wire.StreamEnd, wire.StreamEndMessage{Code: wire.StreamLost, Error: err.Error()})
	}
	if first.lower {
		lower.Abort(err)
		upper.Finish()
	} else { // who is above needs nothing any more; who is below ends when its connection does
		lower.Finish()
		upper.Abort(err)
	}
	<-sides
	if ended.Load() {
		err = nil
	}
	return err
}

// pump returns why it cannot go on.
func pump(ctx context.Context, from, to *Conn, seen func(kind byte)) error {
	for {
		message, err := from.message(ctx)
		if err != nil {
			return err
		}
		if err := to.forward(message); err != nil {
			return err
		}
		seen(message[0])
	}
}
