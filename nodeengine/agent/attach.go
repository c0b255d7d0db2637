// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// attaching is an instance's network namespace on its way into the overlay, beside which its container is made: each takes some 30 ms, most of
// them spent waiting for the kernel or the disk.
type attaching struct {
	c        *actor
	cancel   context.CancelFunc
	done     chan struct{}
	endpoint wire.LocalEndpoint
	err      error
}

// attach gives a running instance, whose NetManager has forgotten it, its addresses again.
func (c *actor) attach(ctx context.Context) error {
	path, err := c.a.opts.Namespaces.Create(ctx, c.have.ID())
	if err != nil {
		return err
	}
	n := c.attachAside(ctx, path)
	defer n.end()
	_, err = n.wait()
	return err
}

// attachAside has NetManager give the network namespace of a path its addresses. Who calls it has to end it too.
func (c *actor) attachAside(ctx context.Context, path string) *attaching {
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	n := &attaching{c: c, cancel: cancel, done: make(chan struct{})}
	s := c.have.Spec
	request := wire.LocalAttach{InstanceKey: c.key, Generation: c.have.Generation, JobName: s.JobName, Organization: s.Organization,
		NetNS: path, InstanceIP: s.InstanceIP, InstanceIPv6: s.InstanceIPv6, Addresses: s.Addresses, Ports: s.Ports}
	go func() {
		defer close(n.done)
		n.endpoint, n.err = c.a.opts.Network.Attach(ctx, request)
	}()
	return n
}

// wait returns the endpoint, or a [networkError], of which it notes what the next attempt has to know.
func (n *attaching) wait() (wire.LocalEndpoint, error) {
	<-n.done // its time-out is its own
	n.c.unattached, n.c.elsewhere = n.err != nil, elsewhere(n.err)
	if n.err != nil {
		return wire.LocalEndpoint{}, &networkError{n.err}
	}
	return n.endpoint, nil
}

// end gives up what has not come to its end, and waits until it has: nothing is attached behind the back of who takes the instance down.
func (n *attaching) end() {
	n.cancel()
	<-n.done
}
