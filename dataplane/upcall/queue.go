// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Bounds of what is held. The programs bound the packets that are up at a time to 64 an address too. There is no tighter bound for a
// flow: a burst of one flow has to arrive whole.
const (
	maxHeld      = 64       // packets for one address
	maxHeldBytes = 16 << 20 // in all
	maxWait      = time.Second
	askEvery     = 250 * time.Millisecond
	maxPacket    = 1 << 17 // of one frame; segmentation offload makes up to 64 KiB and headers
)

// Config is what a [Queue] needs.
type Config struct {
	// Ifindex is that of the end of the upcall pair at which redirected frames arrive.
	Ifindex int
	Maps    *bpf.Maps
	// Want asks for an address that packets are for; the answer comes by [Queue.Answer]. It may answer before it returns, is called
	// again every 250 ms as long as packets wait, and must not block.
	Want func(netip.Addr)
	// WantSource asks where an Instance IP lives that packets of a peer come from; the answer comes by [Queue.SourceKnown].
	WantSource func(netip.Addr)
	Log        *slog.Logger
}

// Stats counts frames since the start.
type Stats struct {
	Received uint64 // that the programs sent up
	Returned uint64 // written back
	Held     int    // of now
	Bytes    int    // of now
	Overflow uint64 // written back at once, since too many were held
	TimedOut uint64 // written back without an answer
	Refused  uint64 // that nobody has the destination of
	Failed   uint64 // that could not be written back
}

// Queue holds packets until it is known what to do with them. Its methods may be called from several goroutines.
type Queue struct {
	cfg    Config
	log    *slog.Logger
	socket io.ReadWriteCloser
	now    func() time.Time
	gripes *rate.Limiter

	mu    sync.Mutex // held while writing, so that frames keep their order
	holds map[wanted]*hold
	// missing is how many frames of each address were up and not held when it was last looked at.
	missing map[wanted]uint64
	stats   Stats
}

// hold is what waits for one address.
type hold struct {
	frames []frame
	asked  time.Time
}

// New opens the packet socket, in the network namespace of the calling thread, and settles what was up when an earlier NetManager died.
func New(cfg Config) (*Queue, error) {
	if cfg.Maps == nil || cfg.Want == nil || cfg.WantSource == nil {
		return nil, errors.New("make a queue for first packets: maps and both questions are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	socket, err := openSocket(cfg.Ifindex)
	if err != nil {
		return nil, err
	}
	q := &Queue{
		cfg: cfg, log: cfg.Log, socket: socket, now: time.Now,
		gripes: rate.NewLimiter(1, 5),
		holds:  map[wanted]*hold{},
	}
	if err := settle(cfg.Maps, func(wanted, bpf.Pending) bool { return true }); err != nil {
		_ = socket.Close()
		return nil, err
	}
	return q, nil
}

// Stats returns the counters.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}

// arrive takes a frame that the programs have sent up.
func (q *Queue) arrive(f frame) {
	q.mu.Lock()
	q.stats.Received++
	h := q.holds[f.key]
	if h == nil {
		if known, refused := q.look(f.key); known || refused {
			q.back(f, refused)
			q.mu.Unlock()
			return
		}
		h = &hold{}
	}
	if len(h.frames) >= maxHeld || q.stats.Bytes+len(f.raw) > maxHeldBytes {
		// The programs count it as unresolved.
		q.stats.Overflow++
		q.write(f.raw)
		q.mu.Unlock()
		return
	}
	q.holds[f.key] = h
	h.frames = append(h.frames, f)
	q.stats.Held++
	q.stats.Bytes += len(f.raw)
	ask := len(h.frames) == 1
	if ask {
		h.asked = f.at
	}
	q.mu.Unlock()
	if ask {
		q.ask(f.key)
	}
}

// look asks the maps, which are ahead of every answer.
func (q *Queue) look(key wanted) (known, refused bool) {
	if key.source {
		_, ok, err := q.cfg.Maps.Sources.Lookup(key.addr)
		return ok && err == nil, false
	}
	vip, ok, err := q.cfg.Maps.VIPs.Lookup(key.addr)
	if !ok || err != nil {
		return false, false
	}
	return vip.Policy != bpf.PolicyNone, vip.Policy == bpf.PolicyNone
}

func (q *Queue) ask(key wanted) {
	if key.source {
		q.cfg.WantSource(key.addr.Netip())
		return
	}
	q.cfg.Want(key.addr.Netip())
}

// Answer says that the programs can handle packets to an address from now on (ok), or that nobody has it. What was held goes back, in
// order; the programs tell senders that have no destination.
func (q *Queue) Answer(addr netip.Addr, ok bool) {
	q.release(wanted{addr: bpf.AddrFrom(addr)}, !ok)
}

// SourceKnown says that the map sources has an Instance IP from now on.
func (q *Queue) SourceKnown(addr netip.Addr) {
	q.release(wanted{addr: bpf.AddrFrom(addr), source: true}, false)
}

func (q *Queue) release(key wanted, refuse bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.holds[key]
	if h == nil {
		return
	}
	delete(q.holds, key)
	for _, f := range h.frames {
		q.letGo(f)
		q.back(f, refuse)
	}
}

// letGo takes a frame out of the counts of what is held.
func (q *Queue) letGo(f frame) {
	q.stats.Held--
	q.stats.Bytes -= len(f.raw)
}

// back writes a frame back. If nobody has its destination, the programs tell its sender.
func (q *Queue) back(f frame, refuse bool) {
	q.write(f.raw)
	if refuse {
		q.stats.Refused++
	}
}

func (q *Queue) write(raw []byte) {
	if _, err := q.socket.Write(raw); err != nil {
		q.stats.Failed++
		if q.gripes.Allow() {
			q.log.Warn("cannot write a packet back", "bytes", len(raw), "error", err)
		}
		return
	}
	q.stats.Returned++
}
