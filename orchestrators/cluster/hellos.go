// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/observer"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
)

// openHellos opens the socket of workers' hellos, whose port and key each worker's configuration names.
func (c *Cluster) openHellos() error {
	addr, err := net.ResolveUDPAddr("udp", c.opts.HelloListen)
	if err == nil {
		c.hellos, err = net.ListenUDP("udp", addr)
	}
	if err != nil {
		return fmt.Errorf("listen on UDP %s (--hello-listen): %w", c.opts.HelloListen, err)
	}
	c.seer, err = observer.New(func(worker string) (key []byte) {
		c.plane.Do(func(core *overlay.Core) []overlay.Message {
			key = core.PublicKey(worker)
			return nil
		})
		return key
	}, c.log)
	if err != nil {
		_ = c.hellos.Close()
	}
	return err
}

// observer is what workers have to know to ask where they are seen.
func (c *Cluster) observer() *wire.NetObserver {
	at, err := netip.ParseAddrPort(c.hellos.LocalAddr().String())
	if err != nil {
		return nil // a socket of UDP has an address and a port
	}
	return c.seer.Wire(at.Port())
}
