// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/dns"
	"github.com/oakestra/oakestra-ebpf/dataplane/egress"
	"github.com/oakestra/oakestra-ebpf/dataplane/endpoint"
	"github.com/oakestra/oakestra-ebpf/dataplane/expose"
	"github.com/oakestra/oakestra-ebpf/dataplane/localapi"
)

// Agent is one running NetManager.
type Agent struct {
	cfg   Config
	log   *slog.Logger
	state folder

	epoch     uint64
	revision  atomic.Uint64
	seenEpoch atomic.Uint64 // highest of the cluster's
	key       *ecdh.PrivateKey
	dp        *datapath.Datapath
	endpoints *endpoint.Set
	names     *dns.Resolver
	exposed   *expose.Table
	firewall  egress.Firewall
	// advised is what was last told of firewalls that cannot be helped from here.
	advised  []string
	up0, up1 int

	uplink  atomic.Pointer[device.Uplink] // nil while there is none
	overlay atomic.Pointer[overlay]       // nil until identity and node are known
	session atomic.Pointer[mqtt.Session]  // nil until the identity is known
	problem atomic.Pointer[string]        // the last reason why what the cluster said could not be applied
	publish *publisher
	// toldTrips are the round trips that the cluster knows.
	toldTrips atomic.Pointer[map[string]float64]
	stored    *saver
	peers     peerList
	metrics   *localapi.Metrics

	configuring sync.Mutex // one change of the following at a time
	known       sync.Mutex // guards them, briefly
	identity    *wire.LocalIdentity
	node        *wire.NetNode
	port        uint16 // of the tunnel device as it is

	configured chan struct{} // told, once at most, after each configuration

	sessions sync.Mutex // one change of the session at a time; taken before configuring
	tasks    sync.WaitGroup
}

// Run runs NetManager until ctx ends, which it returns as no error. What runs in the kernel goes on.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	a := &Agent{cfg: cfg, log: cfg.Log, state: folder(cfg.StateDir), configured: make(chan struct{}, 1)}
	if a.log == nil {
		a.log = slog.Default()
	}
	dp, err := datapath.Open(ctx, datapath.Options{
		BPFFS: cfg.BPFFS, Worker: cfg.Name, LockDir: cfg.RunDir, CardDecap: cfg.XDPDecap, Without: cfg.Without, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open the datapath: %w", err)
	}
	a.dp = dp
	defer func() { _ = dp.Close() }()
	return a.run(ctx)
}

func (a *Agent) run(parent context.Context) error {
	a.publish = newPublisher(a)
	a.stored = newSaver(a)
	a.names = a.newNames()
	// The first task that fails ends all. The overlay goes last, when nothing can start it anew.
	ctx, fail := context.WithCancelCause(parent)
	defer a.stopOverlay()
	defer a.endSession()
	defer a.tasks.Wait()
	defer a.names.Close()
	defer fail(errStopped)

	if err := a.measure(); err != nil {
		return err
	}
	if err := a.begin(); err != nil {
		return err
	}
	if err := a.restore(ctx); err != nil {
		return err
	}
	apis, err := a.listen()
	if err != nil {
		return err
	}
	for _, api := range apis {
		a.tasks.Go(func() { fail(api(ctx)) })
	}
	a.tasks.Go(func() { a.publish.run(ctx) })
	a.tasks.Go(func() { a.watchRoundTrips(ctx) })
	a.tasks.Go(func() { a.stored.run(ctx) })
	changes := make(chan struct{}, 1)
	a.tasks.Go(func() {
		a.keep(ctx, "watch devices", func(ctx context.Context) error { return watchDevices(ctx, changes) })
	})
	a.tasks.Go(func() { a.everyOrWhen(ctx, followEvery, changes, "follow the uplink", a.follow) })
	a.tasks.Go(func() { a.everyOrWhen(ctx, observeEvery, a.configured, "find the cluster's observer", a.findObserver) })
	a.tasks.Go(func() { a.every(ctx, followEvery, "keep the host's devices and firewall", a.mend) })
	a.tasks.Go(func() { a.every(ctx, followEvery, "answer names", a.listenNames) })
	a.tasks.Go(func() {
		a.every(ctx, expireEvery, "expire names", func(context.Context) error { a.names.Expire(time.Now()); return nil })
	})
	// Also at once: a former build may have left no counts of flows.
	sweepNow := make(chan struct{}, 1)
	sweepNow <- struct{}{}
	a.tasks.Go(func() { a.everyOrWhen(ctx, sweepEvery, sweepNow, "expire flows", a.sweep) })
	a.log.Info("NetManager is up", "name", a.cfg.Name, "epoch", a.epoch, "pins", a.dp.Dir(), "version", a.cfg.Version)

	<-ctx.Done()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// errStopped is the cause of an ordinary end.
var errStopped = errors.New("stopped")

// begin reads what is the process's own from the state folder and prepares what needs no cluster.
func (a *Agent) begin() (err error) {
	if a.epoch, err = a.state.raise(epochFile, time.Now()); err != nil {
		return fmt.Errorf("raise the epoch: %w", err)
	}
	if a.key, err = a.state.overlayKey(); err != nil {
		return err
	}
	if a.up0, a.up1, err = device.EnsureUpcall(); err != nil {
		return err
	}
	if err := a.dp.AttachUpcall(a.up0, a.up1); err != nil {
		return err
	}
	a.endpoints, err = endpoint.Open(endpoint.Config{
		Datapath: a.dp, Maps: a.dp.Maps(), StateFile: a.state.path(endpointsFile), Changed: a.endpointsChanged, Log: a.log,
	})
	if err != nil {
		return err
	}
	return a.openExposed()
}

// restore applies what the state folder holds, before any tier above answers.
func (a *Agent) restore(ctx context.Context) error {
	var node wire.NetNode
	found, err := a.state.read(nodeFile, &node)
	if err != nil {
		return err
	}
	if found {
		a.node = &node
		a.observe(node.Epoch)
	}
	var id wire.LocalIdentity
	if found, err = a.state.read(identityFile, &id); err != nil {
		return err
	}
	if found {
		a.identity = &id
	}
	a.restoreNames()
	if _, err := a.lookAtUplink(); err != nil {
		a.log.Warn("no uplink yet: other workers cannot be reached", "error", err)
		a.settleExposed()
	}
	a.configuring.Lock()
	err = a.configure(ctx)
	a.configuring.Unlock()
	if err != nil {
		return fmt.Errorf("apply the stored configuration: %w", err)
	}
	if a.identity == nil {
		a.log.Info("waiting for NodeEngine to hand over the worker's identity", "socket", a.cfg.Socket)
		return nil
	}
	a.sessions.Lock()
	defer a.sessions.Unlock()
	return a.dialSession(ctx, *a.identity)
}

// every calls f at an interval until ctx ends, the first time after one interval.
func (a *Agent) every(ctx context.Context, interval time.Duration, what string, f func(context.Context) error) {
	a.everyOrWhen(ctx, interval, nil, what, f)
}

// everyOrWhen does so, and besides when wake says so.
func (a *Agent) everyOrWhen(ctx context.Context, interval time.Duration, wake <-chan struct{}, what string, f func(context.Context) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-wake:
		}
		err := f(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			a.log.Warn("cannot "+what+"; trying on", "error", err)
			failing = true
		case err == nil && failing:
			a.log.Info("can " + what + " again")
			failing = false
		}
	}
}

// sweepEvery is how often flows are expired and endpoints are looked at.
const sweepEvery = 5 * time.Second

func (a *Agent) sweep(ctx context.Context) error {
	return errors.Join(a.dp.Sweep(ctx), a.endpoints.Check())
}

// endpointsChanged tells routes and cluster.
func (a *Agent) endpointsChanged() {
	a.settleExposed()
	if o := a.overlay.Load(); o != nil {
		o.routes.EndpointsChanged()
	}
	a.publish.endpoints()
}
