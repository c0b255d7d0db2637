// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"cmp"
	"crypto/ecdh"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Config is what a [Greeter] needs.
type Config struct {
	// Maps are the dataplane's; the greeter alone writes peers, peer_addrs and sources.
	Maps *bpf.Maps
	// WorkerID is this worker's id: 24 hexadecimal digits.
	WorkerID string
	// Key is this worker's X25519 key.
	Key *ecdh.PrivateKey
	// Start is higher than at any earlier start of this worker's NetManager, and kept on disk.
	Start uint64
	// Port is the UDP port of the tunnel.
	Port uint16
	// Uplink tells what packets to other workers leave by. It is asked often and has to be quick.
	Uplink func() Uplink
	// InUse counts what conntrack still needs, by peer index, Instance IP of a source and service address; it is asked only
	// when a list lacks something. Nil: nothing is needed.
	InUse func() (peers map[uint32]int, sources, vips map[bpf.Addr]int, err error)
	// EchoEvery is how old the last measured round trip to a peer may get until it is sent an echo; 5 s if zero.
	EchoEvery time.Duration
	Log       *slog.Logger
}

// maxOuter bounds the addresses that one peer is greeted at: those that it has in both families, and those that others see it at.
const maxOuter = 6

// Greeter keeps the maps of other workers and greets them. Its methods may be called from several goroutines.
type Greeter struct {
	cfg    Config
	log    *slog.Logger
	id     [12]byte
	socket sender
	kick   chan struct{}
	now    func() time.Time
	mono   func() time.Duration // of the programs' clock

	mu       sync.Mutex
	held     wire.Stamp // of the list that was applied last
	listed   bool       // a list was applied since the start
	byID     map[[12]byte]*record
	indices  indices
	sources  map[bpf.Addr]*source
	watchers []func(workerID string)
	onSource []func(netip.Addr)
	changed  []string     // ids to tell the watchers of, once mu is free
	learned  []netip.Addr // sources to tell of, once mu is free
	uplink   Uplink

	ended         uint64    // the highest sequence of all conversations that have ended
	observer      *observer // nil while there is none to ask
	public        []netip.AddrPort
	symmetric     bool // the NAT before this worker shows it at another port to each other side
	publicChanged bool // the subscribers are to be told, once mu is free
	onPublic      []func()

	stale   []stale // routes to tell of, once mu is free
	onStale []func(workerID string, ns netip.Addr, tag uint32)
}

// Uplink is the interface that packets to other workers leave by, and its addresses; those that are not valid it does not have.
type Uplink struct {
	Ifindex    int
	IPv4, IPv6 netip.Addr
	MTU        int
}

// towards is the address of the uplink that packets to another address have; not valid if none can be sent there.
func (u Uplink) towards(to netip.Addr) netip.Addr {
	if to.Is4() {
		return u.IPv4
	}
	return u.IPv6
}

// own is where this worker believes to be, as somebody at the other address should see it.
func (g *Greeter) own(other netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(g.uplink.towards(other), g.cfg.Port)
}

// New returns a greeter that goes on from what the maps hold: peers keep their indices and, if they were met, stay met. Its raw
// socket belongs to the network namespace of the calling thread.
func New(cfg Config) (*Greeter, error) {
	id, err := bpf.ParseID(cfg.WorkerID)
	if err != nil {
		return nil, fmt.Errorf("read own worker id: %w", err)
	}
	if cfg.Maps == nil || cfg.Key == nil || cfg.Uplink == nil || cfg.Port == 0 || cfg.Start == 0 {
		return nil, errors.New("make a greeter: maps, key, uplink, port and start counter are all needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.EchoEvery = cmp.Or(cfg.EchoEvery, echoEvery)
	g := &Greeter{
		cfg: cfg, log: cfg.Log, id: id, now: time.Now, mono: monotonic,
		kick:    make(chan struct{}, 1),
		byID:    map[[12]byte]*record{},
		indices: indices{used: map[uint32]bool{}, next: 1},
		sources: map[bpf.Addr]*source{},
	}
	if err := g.recover(); err != nil {
		return nil, err
	}
	socket, err := openRawSockets()
	if err != nil {
		return nil, err
	}
	g.socket = socket
	return g, nil
}

// Close closes the socket. The maps stay as they are, so that traffic goes on.
func (g *Greeter) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.socket.close()
}

// Subscribe has f called with the id of each worker that became known, was met, or is gone. It is called without locks held and
// may call the greeter.
func (g *Greeter) Subscribe(f func(workerID string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watchers = append(g.watchers, f)
}

// SubscribeSources has f called with each Instance IP that became known as a source of a peer.
func (g *Greeter) SubscribeSources(f func(netip.Addr)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onSource = append(g.onSource, f)
}

// Index returns the index in the map peers of a worker, 0 if it is unknown, and whether its address is known.
func (g *Greeter) Index(workerID string) (index uint32, met bool) {
	id, err := bpf.ParseID(workerID)
	if err != nil {
		return 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.byID[id]; p != nil {
		return p.index, p.met()
	}
	return 0, false
}

// Unreachable reports whether another worker was never met and is not to be expected to be.
func (g *Greeter) Unreachable(workerID string) bool {
	id, err := bpf.ParseID(workerID)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.byID[id]
	return p != nil && p.unreachable()
}

// Held returns the stamp of the list that was applied last.
func (g *Greeter) Held() wire.Stamp {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// unlock frees mu and then tells the subscribers what changed under it.
func (g *Greeter) unlock() {
	changed, learned, public := g.changed, g.learned, g.publicChanged
	watchers, onSource, onPublic := g.watchers, g.onSource, g.onPublic
	g.changed, g.learned, g.publicChanged = nil, nil, false
	stale, onStale := g.stale, g.onStale
	g.stale = nil
	g.mu.Unlock()
	for _, id := range changed {
		for _, f := range watchers {
			f(id)
		}
	}
	for _, a := range learned {
		for _, f := range onSource {
			f(a)
		}
	}
	for _, r := range stale {
		for _, f := range onStale {
			f(r.workerID, r.ns, r.tag)
		}
	}
	if public {
		for _, f := range onPublic {
			f()
		}
	}
}

// wake has Run look at its timers again.
func (g *Greeter) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}
