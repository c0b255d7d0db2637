// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what one container, and all together, may have this resolver do. A container that starts looks up some dozen names.
const (
	queriesPerSecond = 2000 // what is over is dropped unread
	queriesBurst     = 2000
	freshPerSecond   = 10 // names that are not known
	freshBurst       = 64
	inFlightEach     = 64 // queries that wait, for the cluster or for another resolver
	inFlightAll      = 512
	connectionsEach  = 16
	connectionsAll   = 256
	// idleSource is how long nothing has to come from a source until it is forgotten.
	idleSource = time.Minute
)

// sources is who asks.
type sources struct {
	// organization returns whose container has a namespace address.
	organization func(netip.Addr) (string, bool)

	mu          sync.Mutex
	all         map[netip.Addr]*source
	inFlight    int
	connections int
}

// source is one container.
type source struct {
	queries, fresh        *rate.Limiter
	seen                  time.Time
	inFlight, connections int
}

func newSources(organization func(netip.Addr) (string, bool)) *sources {
	return &sources{organization: organization, all: map[netip.Addr]*source{}}
}

// get returns the source at an address of a container. There are at most as many as the worker has had containers within the last minute.
func (s *sources) get(a netip.Addr, now time.Time) *source {
	one := s.all[a]
	if one == nil {
		one = &source{
			queries: rate.NewLimiter(queriesPerSecond, queriesBurst),
			fresh:   rate.NewLimiter(freshPerSecond, freshBurst),
		}
		s.all[a] = one
	}
	one.seen = now
	return one
}

// admit reports whether a query from there is to be read at all.
func (s *sources) admit(a netip.Addr, now time.Time) bool {
	if _, ok := s.organization(a); !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(a, now).queries.AllowN(now, 1)
}

// fresh reports whether a source may ask for another name that is not known.
func (s *sources) fresh(a netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(a, now).fresh.AllowN(now, 1)
}

// begin counts a query that may wait; false if there are too many. The query's end is to be told by end.
func (s *sources) begin(a netip.Addr, now time.Time) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.get(a, now)
	if one.inFlight >= inFlightEach || s.inFlight >= inFlightAll {
		return nil, false
	}
	one.inFlight++
	s.inFlight++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		one.inFlight--
		s.inFlight--
	}, true
}

// connect counts a connection likewise; one from elsewhere is refused.
func (s *sources) connect(a netip.Addr, now time.Time) (end func(), ok bool) {
	if _, ok := s.organization(a); !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.get(a, now)
	if one.connections >= connectionsEach || s.connections >= connectionsAll {
		return nil, false
	}
	one.connections++
	s.connections++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		one.connections--
		s.connections--
	}, true
}

// expire forgets sources that are silent and have nothing under way.
func (s *sources) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, one := range s.all {
		if one.inFlight == 0 && one.connections == 0 && now.Sub(one.seen) >= idleSource {
			delete(s.all, a)
		}
	}
}
