// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Service is what the cluster knows of a service: all copies that it has placed.
type Service struct {
	ID      string
	JobName string
	// Organization is the id of the organisation that owns it. Others do not see its names.
	Organization string
	Addresses    []wire.ServiceAddress
	Ports        []wire.Port
	Copies       []Copy
	// Wanted says that root wants instances of it. Its claim to an address outranks that of a service which merely is still, or
	// says that it is, somewhere.
	Wanted bool
}

// Copy is one generation of an instance on one worker.
type Copy struct {
	Number       int
	Generation   wire.Generation
	Worker       string
	State        wire.State
	InstanceIP   netip.Addr
	InstanceIPv6 netip.Addr
	// Load is how busy it is, 0 to 1, for one of which [Core.SetLoads] has said nothing yet; nil if unknown.
	Load *float64
	// Stopping copies have a tombstone: they are still sources, but no longer routes.
	Stopping bool

	// abroad copies are other clusters'; at is where those are.
	abroad bool
	at     *wire.Location
}

// Message is to be published for one worker.
type Message struct {
	Worker string
	// Name is the topic below nodes/{worker}/.
	Name string
	// Payload is the message, or Encoded, if that is not nil, the message as it is sent; messages to many may share it. Neither must be
	// changed.
	Payload any
	Encoded []byte
}

// Wanted reports whether a worker, of this cluster or another, wants the routes of a service.
func (c *Core) Wanted(service string) bool {
	s := c.services[service]
	return s != nil && len(s.interested) > 0
}
