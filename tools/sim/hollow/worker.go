// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Times of what is sent, those of NodeEngine and NetManager.
const (
	informationInterval = 2 * time.Second
	fullInterval        = 30 * time.Second
	coalesce            = 5 * time.Millisecond
	sendTimeout         = 10 * time.Second
	sendRetry           = time.Second
	goodbyeTimeout      = 500 * time.Millisecond
	keyLength           = 32
)

// Options say who a hollow worker is.
type Options struct {
	// Cluster is HOST:PORT of the cluster's API, Token one to join it with.
	Cluster, Token string
	// Name is what people call the worker.
	Name string
	// Capacity is what it says that it has.
	Capacity wire.Slot
	// Location is where it says that it is; nil if it does not say.
	Location  *wire.Location
	Behaviour Behaviour
	// Watch may be nil.
	Watch Watch
	// Traffic counts what its connections carry; may be nil.
	Traffic *Traffic
	// Log may be nil.
	Log *slog.Logger
}

// Worker is a hollow worker. Its methods may be used concurrently.
type Worker struct {
	opts Options
	log  *slog.Logger
	id   identity
	// epoch and revision stamp what it sends.
	epoch    uint64
	revision atomic.Uint64
	key      []byte // public, of the overlay: any bytes

	engine, net program
	tell        chan struct{} // there are news of containers
	say         chan struct{} // there are news of endpoints or of what is wanted
	done        sync.WaitGroup
	cancel      context.CancelFunc
	dead        atomic.Bool

	mu     sync.Mutex
	chance *chance
	box    box           // containers
	over   over          // overlay
	timers []*time.Timer // of its own misdeeds
}

// Start has a worker join and connects it. It returns once it has joined; the sessions come up by themselves, again and again, until Close
// or until ctx ends.
func Start(ctx context.Context, o Options) (*Worker, error) {
	if o.Watch == nil {
		o.Watch = noWatch{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Traffic == nil {
		o.Traffic = &Traffic{}
	}
	id, err := join(ctx, o.Cluster, o.Token, o.Name)
	if err != nil {
		return nil, err
	}
	w := &Worker{opts: o, log: o.Log, id: id, epoch: uint64(time.Now().UnixMilli()), chance: newChance(o.Behaviour), box: newBox(), over: newOver(),
		tell: make(chan struct{}, 1), say: make(chan struct{}, 1)}
	w.key = w.chance.bytes(keyLength)
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := w.dial(ctx); err != nil {
		w.cancel()
		return nil, err
	}
	w.done.Go(func() { w.runEngine(ctx) })
	w.done.Go(func() { w.runNet(ctx) })
	w.misbehave()
	return w, nil
}

func (w *Worker) dial(ctx context.Context) error {
	w.engine = program{suffix: "-engine", alive: wire.TopicAliveEngine, tls: w.id.engine, connected: w.wantFull}
	w.net = program{suffix: "-net", alive: wire.TopicAliveNet, tls: w.id.net, connected: w.sayAll}
	for _, p := range []*program{&w.engine, &w.net} {
		if err := p.dial(ctx, w); err != nil {
			return fmt.Errorf("worker %s: %w", w.opts.Name, err)
		}
	}
	for s, topics := range map[*program]map[string]func(topic string, payload []byte){
		&w.engine: {wire.TopicDesired: w.onDesired},
		&w.net: {wire.TopicNetNode: w.onNode, wire.TopicNetPeers: w.onPeers, wire.TopicNetRoutes + "+": w.onRoutes,
			wire.TopicNetResolved: w.onResolved},
	} {
		for name, handle := range topics {
			if err := s.session.Subscribe(wire.Topic(w.id.id, name), handle); err != nil {
				return fmt.Errorf("worker %s: %w", w.opts.Name, err)
			}
		}
	}
	return nil
}

// ID returns the id that the cluster has issued, Name what people call the worker, Kind how it behaves.
func (w *Worker) ID() string   { return w.id.id }
func (w *Worker) Name() string { return w.opts.Name }
func (w *Worker) Kind() Kind   { return cmp.Or(w.opts.Behaviour.Kind, Steady) }

// Connected reports whether both sessions are up.
func (w *Worker) Connected() bool {
	return w.engine.session.Connected() && w.net.session.Connected()
}

// Dead reports whether the worker has vanished for good.
func (w *Worker) Dead() bool { return w.dead.Load() }

// Close says goodbye and ends the worker.
func (w *Worker) Close() {
	w.halt(true)
	w.done.Wait()
}

// halt ends everything, with or without a word.
func (w *Worker) halt(goodbye bool) {
	w.mu.Lock()
	for _, t := range w.timers {
		t.Stop()
	}
	w.timers = nil
	w.box.stop()
	w.mu.Unlock()
	for _, p := range []*program{&w.engine, &w.net} {
		if goodbye && p.session.Connected() {
			ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
			_ = p.session.Publish(ctx, p.aliveMessage(w.id.id, false)) // its will says the same, later
			cancel()
		} else {
			p.cut(true)
		}
		p.session.Close()
	}
	w.cancel()
}

// misbehave starts what the worker does of its own accord.
func (w *Worker) misbehave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.opts.Behaviour.Kind {
	case Flapping:
		w.after(w.chance.around(w.chance.b.Every), w.flap)
	case Dying:
		w.after(w.chance.around(w.chance.b.Every), w.Die)
	}
}

// after has f called, unless the worker ends before. Callers hold mu.
func (w *Worker) after(d time.Duration, f func()) {
	w.timers = append(w.timers[:0], time.AfterFunc(d, f)) // there is never more than one
}

// flap cuts the worker off for a moment, again and again.
func (w *Worker) flap() {
	w.Cut()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead.Load() || w.box.stopped {
		return
	}
	w.after(w.chance.around(flapAway), func() {
		w.Heal()
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.box.stopped {
			w.after(w.chance.around(w.chance.b.Every), w.flap)
		}
	})
}

// Cut drops both connections without a word and keeps them from coming back until Heal. Containers run on.
func (w *Worker) Cut() {
	w.engine.cut(true)
	w.net.cut(true)
}

// Heal lets the connections come back.
func (w *Worker) Heal() {
	w.engine.cut(false)
	w.net.cut(false)
}

// Die has the worker vanish for good, without a word.
func (w *Worker) Die() {
	if !w.dead.Swap(true) {
		w.halt(false)
	}
}

func (w *Worker) header() wire.Header {
	return wire.NewHeader(wire.Stamp{Epoch: w.epoch, Revision: w.revision.Add(1)})
}

func (w *Worker) send(ctx context.Context, p *program, name string, m any) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return p.session.Publish(ctx, mqtt.Message{Topic: wire.Topic(w.id.id, name), Payload: payload})
}

// signal leaves at most one wake-up.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Want declares of which services, by their addresses, the worker wants routes.
func (w *Worker) Want(addresses ...netip.Addr) {
	w.mu.Lock()
	w.over.want(addresses, time.Now())
	w.mu.Unlock()
	signal(w.say)
}
