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

// openHellos opens the sockets of workers' hellos, whose ports and key each worker's configuration names.
func (c *Cluster) openHellos() error {
	err := c.listenHellos("--hello-listen", c.opts.HelloListen)
	if err == nil && c.opts.OtherHelloListen != "" {
		err = c.listenHellos("--other-hello-listen", c.opts.OtherHelloListen)
	}
	if err != nil {
		c.closeHellos()
		return err
	}
	c.seer, err = observer.New(func(worker string) (key []byte) {
		c.plane.Do(func(core *overlay.Core) []overlay.Message {
			key = core.PublicKey(worker)
			return nil
		})
		return key
	}, c.log)
	if err != nil {
		c.closeHellos()
	}
	return err
}

func (c *Cluster) listenHellos(flag, address string) error {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return fmt.Errorf("listen on UDP %s (%s): %w", address, flag, err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return fmt.Errorf("listen on UDP %s (%s): %w", address, flag, err)
	}
	c.hellos = append(c.hellos, conn)
	return nil
}

func (c *Cluster) closeHellos() {
	for _, conn := range c.hellos {
		_ = conn.Close()
	}
	c.hellos = nil
}

// observer is what workers have to know to ask where they are seen.
func (c *Cluster) observer() *wire.NetObserver {
	var ports [2]uint16
	for i, conn := range c.hellos {
		at, err := netip.ParseAddrPort(conn.LocalAddr().String())
		if err != nil {
			return nil // a socket of UDP has an address and a port
		}
		ports[i] = at.Port()
	}
	return c.seer.Wire(ports[0], ports[1])
}
