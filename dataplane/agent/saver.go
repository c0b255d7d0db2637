// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/routes"
)

// saveEvery is the least time between two writes of peers, routes and names, so that first packets never wait for a disk. What a
// crash loses of it the cluster sends again on connect.
const saveEvery = 100 * time.Millisecond

// saver writes peers, routes and names to the state folder, in the background.
type saver struct {
	a      *Agent
	signal chan struct{}

	mu         sync.Mutex
	peerList   *wire.NetPeers
	wantRoutes bool
	wantNames  bool

	writing sync.Mutex
	// journal is where routes are kept, since a change of one is not to cost what all do; journalOf is the overlay that they are of.
	journal   *statefile.Journal
	journalOf *overlay
}

func newSaver(a *Agent) *saver {
	return &saver{a: a, signal: make(chan struct{}, 1), journal: statefile.NewJournal(a.state.path(routesFile))}
}

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

// names has the names that are known stored soon.
func (s *saver) names() {
	s.mu.Lock()
	s.wantNames = true
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
		s.flush(s.a.overlay.Load())
		select {
		case <-ctx.Done():
			return
		case <-time.After(saveEvery):
		}
	}
}

// flush writes what has changed; without an overlay, names alone.
func (s *saver) flush(o *overlay) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	var list *wire.NetPeers
	wantRoutes, wantNames := false, s.wantNames
	s.wantNames = false
	if o != nil {
		list, wantRoutes = s.peerList, s.wantRoutes
		s.peerList, s.wantRoutes = nil, false
	}
	s.mu.Unlock()
	if wantNames {
		if err := s.a.state.write(namesFile, s.a.names.Snapshot()); err != nil {
			s.a.log.Warn("cannot store names", "error", err)
		}
	}
	if list != nil {
		if err := s.a.state.write(peersFile, list); err != nil {
			s.a.log.Warn("cannot store peers", "error", err)
		}
	}
	if wantRoutes {
		if err := s.writeRoutes(o); err != nil {
			s.a.log.Warn("cannot store routes", "error", err)
		}
	}
}

// writeRoutes adds to the journal what has changed, or writes all of it; writing is held.
func (s *saver) writeRoutes(o *overlay) error {
	if s.journalOf == o && !s.journal.Due() {
		return s.journal.Append(encodable(o.routes.Changes()))
	}
	if err := s.journal.Rewrite(encodable(o.routes.All())); err != nil {
		s.journalOf = nil
		return err
	}
	s.journalOf = o
	return statefile.Remove(s.a.state.path(formerRoutesFile))
}

func encodable(changes iter.Seq[routes.Change]) iter.Seq[any] {
	return func(yield func(any) bool) {
		for c := range changes {
			if !yield(c) {
				return
			}
		}
	}
}

// readRoutes reads what a saver has written. What can be read of it counts although there is an error.
func (f folder) readRoutes() (snapshot routes.Snapshot, found bool, err error) {
	var h routes.History
	err = statefile.ReadJournal(f.path(routesFile), func(line []byte) error {
		var c routes.Change
		if err := json.Unmarshal(line, &c); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		h.Add(c)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		found, err = f.read(formerRoutesFile, &snapshot)
		return snapshot, found, err
	}
	return h.Snapshot(), true, err
}
