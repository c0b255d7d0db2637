// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// Serve answers what arrives at a UDP socket until ctx ends, which is no error. It closes the socket.
func (o *Observer) Serve(ctx context.Context, conn *net.UDPConn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := askDestination(conn); err != nil {
		return err
	}
	buf := make([]byte, hello.TunnelLen+hello.Len+1)
	control := make([]byte, controlLen)
	for {
		n, c, _, from, err := conn.ReadMsgUDPAddrPort(buf, control)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read hellos: %w", err)
		case err != nil:
			// What an earlier answer has met, such as that nobody listens there any more.
			o.log.Debug("read hellos", "error", err)
			continue
		}
		seen := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		if answer := o.answer(buf[:n], seen, time.Now()); answer != nil {
			if _, _, err := conn.WriteMsgUDPAddrPort(answer, fromDestination(control[:c]), from); err != nil {
				o.log.Debug("answer a worker's hello", "to", seen, "error", err)
			}
		}
	}
}
