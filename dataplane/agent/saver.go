// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// saveEvery is the least time between two writes of peers and routes, so that first packets never wait for a disk. What a
// crash loses of it the cluster sends again on connect.
const saveEvery = 100 * time.Millisecond

// saver writes peers and routes to the state folder, in the background.
type saver struct {
	a      *Agent
	signal chan struct{}

	mu         sync.Mutex
	peerList   *wire.NetPeers
	wantRoutes bool

	writing sync.Mutex
}

func newSaver(a *Agent) *saver { return &saver{a: a, signal: make(chan struct{}, 1)} }

// peers has a list stored soon.
func (s *saver) peers(list wire.NetPeers) {
	s.mu.Lock()
	s.peerList = &list
	s.mu.Unlock()
	s.wake()
}

// routes has the table of routes stored soon.
func (s *saver) routes() {
	s.mu.Lock()
	s.wantRoutes = true
	s.mu.Unlock()
	s.wake()
}

func (s *saver) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and what is left then.
func (s *saver) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.signal:
		}
		if o := s.a.overlay.Load(); o != nil {
			s.flush(o)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(saveEvery):
		}
	}
}

// flush writes what has changed.
func (s *saver) flush(o *overlay) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	list, wantRoutes := s.peerList, s.wantRoutes
	s.peerList, s.wantRoutes = nil, false
	s.mu.Unlock()
	if list != nil {
		if err := s.a.state.write(peersFile, list); err != nil {
			s.a.log.Warn("cannot store peers", "error", err)
		}
	}
	if wantRoutes {
		if err := s.a.state.write(routesFile, o.routes.Snapshot()); err != nil {
			s.a.log.Warn("cannot store routes", "error", err)
		}
	}
}
