// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// How long things are remembered.
const (
	// refusedFor is how long it is remembered that nobody has an address.
	refusedFor = 5 * time.Second
	// wantedFor is how long after its last lookup an address stays wanted; longer if conntrack needs it.
	wantedFor = 10 * time.Minute
	// lookAgain is how soon a service that only conntrack needs is looked at again.
	lookAgain = time.Minute
	// allPeersWait is how long packets to a new service wait for all peers of it to be met; a greeting takes a few milliseconds.
	allPeersWait = 250 * time.Millisecond
	// peerWait is how long they wait for the first one.
	peerWait = time.Second
	// restoredFor is how long after a start what the maps hold stays although stored routes lack it: the cluster has until then to send newer
	// ones, which the last NetManager may have had, and died before it could store them.
	restoredFor = 30 * time.Second
	// maxWanted bounds the addresses wanted at a time; the map of addresses is as large.
	maxWanted = 16384
)

// Peers tells what is known of another worker.
type Peers interface {
	// Index returns the worker's index in the map peers, 0 if it is unknown, and whether packets can go there.
	Index(workerID string) (index uint32, met bool)
	// Unreachable reports whether no packet can go there however long it waits.
	Unreachable(workerID string) bool
}

// Config is what a [Table] needs. Its functions may be called with the table locked and must not call the table, save Publish.
type Config struct {
	// Maps are the dataplane's; the table alone writes vips, services and backends.
	Maps *bpf.Maps
	// WorkerID is this worker's id: 24 hexadecimal digits.
	WorkerID string
	Peers    Peers
	// LocalEndpoint returns the endpoint of an instance on this worker, if that generation of it is attached.
	LocalEndpoint func(wire.InstanceKey, wire.Generation) (bpf.Endpoint, bool)
	// Publish is called, without locks held, when the cluster has to hear of the interest: something is wanted that has no answer
	// yet, or no longer wanted. It must not block.
	Publish func()
	// Gone is called, without locks held, with those that had a place in the map of backends until now, or that nobody is at any more:
	// what flows they had has ended. It must not block. Nil: nobody cares.
	Gone func([]bpf.Owner)
	// InUse counts what conntrack still needs, by peer index, Instance IP of a source and service address. Nil: nothing is needed.
	InUse func() (peers map[uint32]int, sources, vips map[bpf.Addr]int, err error)
	Log   *slog.Logger
}

// Table keeps the routes of the services that are wanted on this worker. Its methods may be called from several goroutines.
type Table struct {
	cfg Config
	log *slog.Logger
	now func() time.Time
	// after is [time.AfterFunc].
	after func(time.Duration, func()) *time.Timer

	mu       sync.Mutex
	kernel   kernel
	services map[string]*service // by id
	owners   map[bpf.Addr]*service
	wants    map[bpf.Addr]*want
	refused  map[bpf.Addr]time.Time // when the refusal ends
	epoch    uint64                 // highest of the answers seen
	sequence uint64                 // counts applied routes, so that a snapshot keeps their order
	gaps     map[string]*gap        // of changes that are missing, by service id
	unsaved  map[string]bool        // ids of services that have changed since the table was last saved
	answers  []answer               // to be told once mu is free
	publish  bool                   // likewise
	restored time.Time              // when routes were restored
	onAnswer []func(addr netip.Addr, ok bool)
	here     *wire.Location // of this worker; nil: unknown
	closed   bool
}

// want is one address that was looked up.
type want struct {
	lookedUp time.Time
	asked    time.Time // when the cluster was last asked without having answered yet; zero: it has answered
}

type answer struct {
	addr netip.Addr
	ok   bool
}

// New returns a table that goes on from what the maps hold: services and instances keep their indices, and what the addresses in the
// maps stand for is wanted.
func New(cfg Config) (*Table, error) {
	if cfg.Maps == nil || cfg.Peers == nil || cfg.LocalEndpoint == nil {
		return nil, errors.New("make a table of routes: maps, peers and local endpoints are all needed")
	}
	if _, err := bpf.ParseID(cfg.WorkerID); err != nil {
		return nil, fmt.Errorf("read own worker id: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Table{
		cfg: cfg, log: cfg.Log, now: time.Now, after: time.AfterFunc,
		services: map[string]*service{},
		owners:   map[bpf.Addr]*service{},
		wants:    map[bpf.Addr]*want{},
		refused:  map[bpf.Addr]time.Time{},
		gaps:     map[string]*gap{},
		unsaved:  map[string]bool{},
	}
	if err := t.recover(); err != nil {
		return nil, err
	}
	return t, nil
}

// Close stops the table's timers. The maps stay as they are, so that traffic goes on.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.unlock()
	t.closed = true
	for _, s := range t.services {
		s.stopWaiting()
	}
}

// OnAnswer has f called whenever the programs can handle an address from now on (ok), or the cluster has said that nobody has it. It
// is called without locks held, after the maps are written.
func (t *Table) OnAnswer(f func(addr netip.Addr, ok bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.onAnswer = append(t.onAnswer, f)
}

// unlock frees mu and then tells what has happened under it.
func (t *Table) unlock() {
	answers, publish, tell := t.answers, t.publish, t.onAnswer
	gone := t.kernel.gone
	t.answers, t.publish, t.kernel.gone = nil, false, nil
	t.mu.Unlock()
	if len(gone) > 0 && t.cfg.Gone != nil {
		t.cfg.Gone(gone)
	}
	for _, a := range answers {
		for _, f := range tell {
			f(a.addr, a.ok)
		}
	}
	if publish && t.cfg.Publish != nil {
		t.cfg.Publish()
	}
}

func (t *Table) answered(addr bpf.Addr, ok bool) {
	t.answers = append(t.answers, answer{addr.Netip(), ok})
}
