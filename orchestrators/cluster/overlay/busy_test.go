// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// While the publisher is busy changes are gathered, and said as one once it is not; an answer to a question does not wait.
func TestChangesAreGatheredWhileThePublisherIsBusy(t *testing.T) {
	b := crowded(20)
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	var busy atomic.Bool
	said := make(chan wire.NetRoutes, 100)
	p := NewPlane(b.Core, func(m Message) int {
		if r, ok := received(m).(wire.NetRoutes); ok {
			said <- r
		}
		return 0
	}, func() {})
	p.Busy = busy.Load
	busy.Store(true)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	for n := range 5 {
		p.Do(func(*Core) []Message {
			b.copies[n].State = wire.StateCreated
			b.service(b.copies...)
			return nil
		})
		time.Sleep(30 * time.Millisecond) // a flush would be due
	}
	require.Empty(t, said)
	p.Do(func(*Core) []Message { return b.interest(2, wire.Stamp{}, want(svcIP)) })
	require.Len(t, (<-said).Instances, 20)
	busy.Store(false)
	select {
	case m := <-said:
		require.True(t, m.IsChange())
		require.Len(t, m.Instances, 5)
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is said")
	}
	busy.Store(true)
	p.Wake()
	stop()
	<-done
}
