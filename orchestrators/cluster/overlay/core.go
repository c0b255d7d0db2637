// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of what one worker may declare; what is over them is left out and logged.
const (
	MaxEndpoints = 4096
	MaxInterest  = 4096
	MaxNames     = 4096
	MaxOuter     = 16
)

// Core holds the facts and derives messages from them. It is not safe for concurrent use.
//
// A worker is in relation with another if it wants a service that runs there, or runs a service that is wanted there; both
// then learn of each other as peers.
type Core struct {
	epoch    uint64
	revision uint64
	// graceEnd is until when a service may be held back because a worker has not yet told what it has.
	graceEnd time.Time

	workers  map[string]*worker
	services map[string]*service
	// addresses says whose an address is, claims which services say that it is theirs.
	addresses map[netip.Addr]string
	claims    map[netip.Addr]set
	// wanted says which workers want an address, whether a service has it or not.
	wanted map[netip.Addr]set
	// named says which services go by a name, askers which workers want to know of it.
	named  map[wire.NameKey]set
	askers map[subject]set

	abroad  abroad
	scratch scratch

	// entries counts the versions of all workers' entries in lists of peers.
	entries uint64
	// spaced has updates of one service spaced; without, each flush says all that there is to say.
	spaced bool

	dirtyPeers set
	// nextPeers is the worker from which on a flush goes through dirtyPeers, when one before had too much to say.
	nextPeers     string
	dirtyServices set
	// dirtyEntries are workers of whom their peers may have to be told something else.
	dirtyEntries set
	// dirtyAnswers are workers that want an address or a name which may stand for something else now.
	dirtyAnswers set
}

type set map[string]struct{}

func (s set) add(k string) { s[k] = struct{}{} }

func (s set) has(k string) bool {
	_, ok := s[k]
	return ok
}

// worker is what is known of, and what was told to, one worker.
type worker struct {
	id string
	// abroad workers are other clusters', of which root tells; they are told nothing. sources are what root says of them.
	abroad  bool
	sources []wire.NetSource

	subnets []netip.Prefix
	at      *wire.Location // nil: unknown
	// settled is true once the worker has told its endpoints in this process's life.
	settled   bool
	publicKey []byte
	outer     []netip.AddrPort
	nat       wire.NAT
	endpoints map[wire.InstanceKey]wire.NetEndpoint
	// heard are the stamps of the last messages of each kind.
	heardEndpoints, heardInterest wire.Stamp
	interest                      []netip.Addr
	wants                         set // services
	// takesChanges says that the worker takes changes of routes for routes.
	takesChanges bool

	entry      entry
	peersSent  peersSent
	routesSent map[string]sent
	// forgotten is the highest stamp of routes that it was told, and that routesSent does not know any more.
	forgotten wire.Stamp
	answers   map[netip.Addr]wire.ResolvedAddress
	names     map[wire.NameKey]*wantedName
}

// sent remembers which routes of a service a worker was last told: the stamp that it holds, and what is in them. The latter may say of a later
// version that it is no other for this worker.
type sent struct {
	stamp  wire.Stamp
	of     *built
	chosen []int32 // nil: all
}

type service struct {
	// Service is what follows from home, which is what this cluster has of it, and abroad, which is what others have. One of the two is
	// not nil.
	Service
	home   *Service
	abroad *wire.AbroadService

	name       wire.NameKey // none if its job name is none
	interested set
	// floor is the highest generation of each instance that ever was a route: no lower one becomes one again.
	floor map[int]wire.Generation
	// levels are the loads of its copies.
	levels map[CopyKey]level
	// hosts are the workers that have attached a copy of it, nil until they are asked for; built are its routes, stale if they have to be
	// made anew.
	hosts set
	built *built
	stale bool
	// notBefore is when an update of it is due again, next the worker that is told first then, if the last one had too much to say.
	notBefore time.Time
	next      string
}

// NewCore returns an empty core that stamps its messages with epoch. Until graceEnd a service is held back while a worker
// that could have an instance of it has not been heard of.
func NewCore(epoch uint64, graceEnd time.Time) *Core {
	return &Core{
		epoch: epoch, graceEnd: graceEnd,
		workers: map[string]*worker{}, services: map[string]*service{},
		addresses: map[netip.Addr]string{}, claims: map[netip.Addr]set{}, wanted: map[netip.Addr]set{},
		named: map[wire.NameKey]set{}, askers: map[subject]set{},
		abroad:     abroad{alone: true, addresses: map[netip.Addr]string{}, names: map[wire.NameKey]string{}},
		scratch:    scratch{peers: set{}},
		dirtyPeers: set{}, dirtyServices: set{}, dirtyEntries: set{}, dirtyAnswers: set{},
	}
}

// SetWorker makes a worker known, or changes its subnets.
func (c *Core) SetWorker(id string, subnets []netip.Prefix) {
	w := c.workers[id]
	if w == nil || w.abroad {
		w = &worker{id: id, endpoints: map[wire.InstanceKey]wire.NetEndpoint{}, wants: set{},
			routesSent: map[string]sent{}, answers: map[netip.Addr]wire.ResolvedAddress{}}
		c.workers[id] = w
	}
	w.subnets = subnets
	c.touch(w)
}

// SetEpoch has everything sent anew under a higher epoch.
func (c *Core) SetEpoch(epoch uint64) {
	if epoch <= c.epoch {
		return
	}
	c.epoch, c.revision = epoch, 0
	for id, w := range c.workers {
		w.peersSent, w.routesSent = peersSent{changes: w.peersSent.changes}, map[string]sent{}
		c.dirtyPeers.add(id)
		for s := range w.wants {
			c.changed(s)
		}
		for _, n := range w.names {
			n.told, n.stamp = wire.ResolvedName{}, wire.Stamp{}
			c.dirtyAnswers.add(id)
		}
	}
}

// Settle marks all services and names for another look, since a grace period has ended.
func (c *Core) Settle() {
	for id := range c.services {
		c.changed(id)
	}
	for id, w := range c.workers {
		if len(w.names) > 0 {
			c.dirtyAnswers.add(id)
		}
	}
}

// Dirty reports whether [Core.Flush] has anything to look at.
func (c *Core) Dirty() bool {
	return len(c.dirtyPeers)+len(c.dirtyServices)+len(c.dirtyEntries)+len(c.dirtyAnswers) > 0
}

func (c *Core) next() wire.Stamp {
	c.revision++
	return wire.Stamp{Epoch: c.epoch, Revision: c.revision}
}

// touch marks for another look all that w is in relation with, w itself and the services it runs.
func (c *Core) touch(w *worker) {
	c.dirtyEntries.add(w.id)
	c.dirtyPeers.add(w.id)
	for id := range c.peersOf(w) {
		c.dirtyPeers.add(id)
	}
	for key := range w.endpoints {
		c.changed(key.ServiceID)
	}
}

// changed marks a service of which something else may have to be told now.
func (c *Core) changed(id string) {
	c.dirtyServices.add(id)
	if s := c.services[id]; s != nil {
		s.stale, s.hosts = true, nil
	}
}
