// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

const (
	svcA = "aaaaaaaaaaaaaaaaaaaaaaaa"
	svcB = "bbbbbbbbbbbbbbbbbbbbbbbb"
)

// faults is a runtime whose failures are scripted; it keeps copies as a real one does, across agents.
type faults struct {
	mu         sync.Mutex
	copies     map[string]*fakeCopy
	namespace  string     // of the copy made last
	nameserver netip.Addr // of the copy started last
	pull       func(ctx context.Context, spec wire.InstanceSpec) error
	remove     func(id string) error
	creates    int
	// unlisted is how often List fails.
	unlisted int
	events   []string
}

type fakeCopy struct {
	runtime.Copy
	ended chan struct{}
}

func newFaults() *faults { return &faults{copies: map[string]*fakeCopy{}} }

func (f *faults) event(format string, args ...any) {
	f.events = append(f.events, fmt.Sprintf(format, args...))
}

func (f *faults) Pull(ctx context.Context, spec wire.InstanceSpec) error {
	f.mu.Lock()
	pull := f.pull
	f.mu.Unlock()
	if pull != nil {
		return pull(ctx, spec)
	}
	return nil
}

func (f *faults) Create(_ context.Context, in runtime.Instance, namespace string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.creates++
	f.namespace = namespace
	f.copies[in.ID()] = &fakeCopy{Copy: runtime.Copy{Instance: in, Phase: runtime.PhaseIncomplete}, ended: make(chan struct{})}
	return nil
}

func (f *faults) Start(_ context.Context, id string, nameserver netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nameserver = nameserver
	f.event("start %s", id)
	f.copies[id].Phase, f.copies[id].StartedAt = runtime.PhaseRunning, time.Now()
	return nil
}

func (f *faults) Wait(ctx context.Context, id string) (runtime.Exit, error) {
	f.mu.Lock()
	c, ok := f.copies[id]
	f.mu.Unlock()
	if !ok {
		return runtime.Exit{}, runtime.ErrNotFound
	}
	select {
	case <-c.ended:
		return c.Exit, nil
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
}

// end ends a copy by itself.
func (f *faults) end(t *testing.T, id string, code uint32) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.copies[id]
	if !ok || c.Phase != runtime.PhaseRunning {
		t.Fatalf("%s does not run", id)
	}
	c.Phase, c.Exit = runtime.PhaseExited, runtime.Exit{Code: code, At: time.Now()}
	close(c.ended)
}

func (f *faults) Complete(_ context.Context, id string, exit runtime.Exit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.copies[id].Phase, f.copies[id].Exit = runtime.PhaseCompleted, exit
	return nil
}

func (f *faults) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.remove != nil {
		if err := f.remove(id); err != nil {
			return err
		}
	}
	if _, ok := f.copies[id]; ok {
		f.event("remove %s", id)
	}
	delete(f.copies, id)
	return nil
}

func (f *faults) DropLog(string) error { return nil }

func (f *faults) List(context.Context) ([]runtime.Copy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unlisted > 0 {
		f.unlisted--
		return nil, errors.New("containerd does not know it now")
	}
	var l []runtime.Copy
	for _, c := range f.copies {
		l = append(l, c.Copy)
	}
	return l, nil
}

func (f *faults) Inspect(_ context.Context, id string) (runtime.Copy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.copies[id]; ok {
		return c.Copy, nil
	}
	return runtime.Copy{}, runtime.ErrNotFound
}

func (f *faults) Usage(context.Context) (map[string]runtime.Usage, error) { return nil, nil }

// running returns how many copies run, and whether the one with id does.
func (f *faults) running(id string) (int, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.copies {
		if c.Phase == runtime.PhaseRunning {
			n++
		}
	}
	c, ok := f.copies[id]
	return n, ok && c.Phase == runtime.PhaseRunning
}

// network is a NetManager that can be away.
type network struct {
	asked atomic.Int64 // to attach

	mu        sync.Mutex
	away      bool
	refusal   error
	endpoints map[wire.InstanceKey]wire.LocalAttach
	attaches  int
}

func (n *network) Attach(_ context.Context, a wire.LocalAttach) (wire.LocalEndpoint, error) {
	n.asked.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return wire.LocalEndpoint{}, errors.New("NetManager does not answer")
	}
	if n.refusal != nil {
		return wire.LocalEndpoint{}, n.refusal
	}
	n.attaches++
	n.endpoints[a.InstanceKey] = a
	return wire.LocalEndpoint{LocalAttach: a, Gateway: netip.MustParseAddr("10.18.0.1")}, nil
}

func (n *network) Detach(_ context.Context, k wire.InstanceKey, g wire.Generation) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return errors.New("NetManager does not answer")
	}
	if e, ok := n.endpoints[k]; ok && e.Generation.Compare(g) <= 0 {
		delete(n.endpoints, k)
	}
	return nil
}

func (n *network) Endpoints(context.Context) ([]wire.LocalEndpoint, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var l []wire.LocalEndpoint
	for _, a := range n.endpoints {
		l = append(l, wire.LocalEndpoint{LocalAttach: a})
	}
	return l, nil
}

func (n *network) set(away bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = away
}

func (n *network) refuse(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusal = err
}

// portTaken is how NetManager says that another worker should be looked for.
type portTaken struct{}

func (portTaken) Error() string   { return "host port 80/tcp is in use" }
func (portTaken) Elsewhere() bool { return true }

func (n *network) has(k wire.InstanceKey) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.endpoints[k]
	return ok
}

// spaces keeps names only.
type spaces struct {
	mu   sync.Mutex
	ids  map[string]bool
	dial func(ctx context.Context, id string, port uint16) (net.Conn, error)
}

func (s *spaces) Create(_ context.Context, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = true
	return "/netns/" + id, nil
}

func (s *spaces) Remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
	return nil
}

func (s *spaces) Dial(ctx context.Context, id string, port uint16) (net.Conn, error) {
	s.mu.Lock()
	dial := s.dial
	s.mu.Unlock()
	if dial == nil {
		return nil, errors.New("nobody listens")
	}
	return dial(ctx, id, port)
}

func (s *spaces) List() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l []string
	for id := range s.ids {
		l = append(l, id)
	}
	return l, nil
}

// worker is an agent on scripted neighbours that can be restarted.
type worker struct {
	t       *testing.T
	dir     string
	runtime *faults
	net     *network
	spaces  *spaces
	agent   *Agent
	stop    func()
	// failWithin is the option, for the next start.
	failWithin time.Duration
	whenCutOff CutOff
}

func newWorker(t *testing.T) *worker {
	t.Helper()
	w := &worker{t: t, dir: t.TempDir(), runtime: newFaults(), net: &network{endpoints: map[wire.InstanceKey]wire.LocalAttach{}}, spaces: &spaces{ids: map[string]bool{}}}
	w.restart()
	t.Cleanup(func() {
		w.stop()
		if n := w.agent.astray.Load(); n > 0 {
			t.Errorf("%d states followed one that they cannot follow", n)
		}
	})
	return w
}

// restart ends the agent as a kill would, and starts another.
func (w *worker) restart() {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
		if n := w.agent.astray.Load(); n > 0 {
			w.t.Errorf("%d states followed one that they cannot follow", n)
		}
	}
	a, err := New(Options{Runtimes: map[string]runtime.Runtime{"container": w.runtime}, Network: w.net, Namespaces: w.spaces, StateDir: w.dir,
		FirstBackOff: 2 * time.Millisecond, LastBackOff: 20 * time.Millisecond, FailWithin: w.failWithin, CutOff: w.whenCutOff, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.agent = a
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.eventually("the agent runs", func() bool { return a.runContext() != nil })
}

func (w *worker) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not in 10 s: %s; rows %+v; events %v", what, w.agent.Instances(), w.runtime.events[max(0, len(w.runtime.events)-12):])
		}
	}
}

// row returns what is reported of one generation.
func (w *worker) row(service string, gen wire.Generation) wire.WorkerInstance {
	for _, r := range w.agent.Instances() {
		if r.ServiceID == service && r.Generation == gen {
			return r
		}
	}
	return wire.WorkerInstance{}
}

func (w *worker) awaitState(service string, gen wire.Generation, s wire.State) wire.WorkerInstance {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s %s is %s", service, gen, s), func() bool { return w.row(service, gen).State == s })
	return w.row(service, gen)
}

func (w *worker) apply(d wire.Desired) {
	w.t.Helper()
	if err := w.agent.Apply(d); err != nil {
		w.t.Fatal(err)
	}
}

func gen(p, m uint32) wire.Generation { return wire.Generation{Placement: p, Move: m} }

func key(service string) wire.InstanceKey { return wire.InstanceKey{ServiceID: service} }

func id(service string, g wire.Generation) string { return runtime.ID(key(service), g) }

// desired builds a list; want and stop name service and generation.
func desired(epoch, rev uint64, want []wire.DesiredInstance, stop ...wire.Tombstone) wire.Desired {
	return wire.Desired{Header: wire.NewHeader(wire.Stamp{Epoch: epoch, Revision: rev}), Instances: want, Tombstones: stop}
}

func want(service string, g wire.Generation) wire.DesiredInstance {
	return wire.DesiredInstance{InstanceKey: key(service), Generation: g, Spec: wire.InstanceSpec{JobName: "a.b.c.d", Runtime: "container", Image: "img"}}
}

func list(d ...wire.DesiredInstance) []wire.DesiredInstance { return d }

func tomb(service string, g wire.Generation) wire.Tombstone {
	return wire.Tombstone{InstanceKey: key(service), Generation: g}
}
