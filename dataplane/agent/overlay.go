// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/peer"
	"github.com/oakestra/oakestra-ebpf/dataplane/routes"
	"github.com/oakestra/oakestra-ebpf/dataplane/upcall"
)

// Intervals of the overlay's own work. Programs take NetManager for gone once its last beat is 2 s old.
const (
	beatEvery   = 500 * time.Millisecond
	expireEvery = time.Second
	retryEvery  = time.Second
)

// overlay is all that needs the worker's identity and configuration: what is known of other workers and of services, and the
// first packets that wait for it.
type overlay struct {
	peers  *peer.Greeter
	routes *routes.Table
	queue  *upcall.Queue
	resets *resets

	reading atomic.Bool // the queue takes packets
	sought  sought      // of the task that looks for the observer alone
	stop    context.CancelFunc
	tasks   sync.WaitGroup
}

// startOverlay goes on from what maps and state folder hold; configuring is held. The overlay outlives ctx: it ends with
// stopOverlay.
func (a *Agent) startOverlay(ctx context.Context, workerID string, port uint16, here *wire.Location) error {
	maps := a.dp.Maps()
	o := &overlay{resets: newResets()}
	var err error
	if o.peers, err = peer.New(peer.Config{
		Maps: maps, WorkerID: workerID, Key: a.key, Start: a.epoch, Port: port, Uplink: a.uplinkNow, InUse: a.inUse,
		EchoEvery: a.cfg.EchoEvery, Log: a.log,
	}); err != nil {
		return fmt.Errorf("start greeting workers: %w", err)
	}
	if o.routes, err = routes.New(routes.Config{
		Maps: maps, WorkerID: workerID, Peers: o.peers, LocalEndpoint: a.endpoints.Lookup,
		Publish: a.publish.interest, Gone: o.resets.add, InUse: a.inUse, Log: a.log,
	}); err != nil {
		_ = o.peers.Close()
		return fmt.Errorf("start keeping routes: %w", err)
	}
	if o.queue, err = upcall.New(upcall.Config{
		Ifindex: a.up1, Maps: maps, Want: o.routes.Want,
		// The list of peers names every source. Interest carries the list's stamp, so the cluster sees that a newer one is needed.
		WantSource: func(netip.Addr) { a.publish.interest() },
		Log:        a.log,
	}); err != nil {
		o.routes.Close()
		_ = o.peers.Close()
		return fmt.Errorf("start reading first packets: %w", err)
	}
	o.peers.Subscribe(o.routes.PeersChanged)
	o.peers.SubscribeSources(o.queue.SourceKnown)
	o.peers.SubscribePublic(a.publish.endpoints)
	o.peers.SubscribeStale(o.routes.Distrust)
	o.routes.OnAnswer(o.queue.Answer)
	o.routes.Locate(here)
	a.restoreOverlay(o)

	ctx, o.stop = context.WithCancel(context.WithoutCancel(ctx))
	a.runOverlay(ctx, o)
	a.overlay.Store(o)
	o.routes.EndpointsChanged() // one that came between the look at endpoints and the line above
	a.publish.endpoints()
	a.publish.interest()
	return nil
}

// restoreOverlay applies the stored peers and then the routes, which need them.
func (a *Agent) restoreOverlay(o *overlay) {
	var list wire.NetPeers
	if found, err := a.state.read(peersFile, &list); err != nil {
		a.log.Warn("cannot read the stored peers: waiting for the cluster's", "error", err)
	} else if found {
		a.observe(list.Epoch)
		a.peers.merge(list)
		if err := o.peers.Apply(list); err != nil {
			a.log.Warn("cannot apply all stored peers", "error", err)
		}
	}
	a.restoreRoutes(o)
}

// restoreRoutes applies the stored routes.
func (a *Agent) restoreRoutes(o *overlay) {
	snapshot, found, err := a.state.readRoutes()
	if err != nil {
		a.log.Warn("cannot read all stored routes: waiting for the cluster's", "error", err)
	}
	if !found {
		return
	}
	for _, r := range snapshot.Routes {
		a.observe(r.Epoch)
	}
	if err := o.routes.Restore(snapshot); err != nil {
		a.log.Warn("cannot apply all stored routes", "error", err)
	}
}

// runOverlay starts the tasks; each goes on until ctx ends.
func (a *Agent) runOverlay(ctx context.Context, o *overlay) {
	o.reading.Store(true)
	o.tasks.Go(func() {
		defer o.reading.Store(false)
		if err := o.queue.Run(ctx); err != nil {
			text := fmt.Sprintf("first packets are not read: %v: restart NetManager", err)
			a.problem.Store(&text)
			a.log.Error("first packets are not read: new services cannot be reached until NetManager is restarted", "error", err)
		}
	})
	o.tasks.Go(func() { a.resetFlows(ctx, o.resets) })
	o.tasks.Go(func() { a.keep(ctx, "greet workers", o.peers.Run) })
	o.tasks.Go(func() {
		a.keep(ctx, "read what the programs say", func(ctx context.Context) error {
			return a.dp.Events(ctx, datapath.Receiver{Hello: o.peers.HandleHello, Stale: o.peers.HandleStale})
		})
	})
	o.tasks.Go(func() {
		a.every(ctx, expireEvery, "expire routes", func(context.Context) error { return o.routes.Expire(time.Now()) })
	})
	o.tasks.Go(func() {
		_ = a.beat(o) // tried again, and logged, below
		a.every(ctx, beatEvery, "tell the programs that NetManager is alive", func(context.Context) error { return a.beat(o) })
	})
}

// keep runs f again whenever it ends before ctx does.
func (a *Agent) keep(ctx context.Context, what string, f func(context.Context) error) {
	for ctx.Err() == nil {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("cannot "+what+"; trying on", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

// stopOverlay ends the overlay's tasks; maps stay as they are. configuring is held, or nothing else runs any more.
func (a *Agent) stopOverlay() {
	o := a.overlay.Swap(nil)
	if o == nil {
		return
	}
	a.stored.flush(o)
	o.stop()
	o.tasks.Wait()
	o.routes.Close()
	_ = o.peers.Close()
}

// inUse counts what conntrack still needs.
func (a *Agent) inUse() (peers map[uint32]int, sources, vips map[bpf.Addr]int, err error) {
	u, err := a.dp.FlowUses()
	return u.Peers, u.Sources, u.VIPs, err
}
