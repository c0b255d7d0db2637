// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Up starts a testbed and returns once every component answers and every worker has joined. Left-overs of an earlier one are
// cleared away first; one that is up is left alone, and [ErrUp] returned. After an error what was started stays, for a look
// at it, until [Down] or the next start.
func Up(ctx context.Context, o Options) (*Testbed, error) {
	unlock, err := lockUnused(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	hosts, err := plan(o)
	if err != nil {
		return nil, err
	}
	if err := o.checkBroker(); err != nil {
		return nil, err
	}
	t := &Testbed{opts: o, state: &state{Dir: o.Dir, Bin: o.Bin, Elsewhere: o.Elsewhere, Self: o.Self, Owner: o.Owner, Fsync: o.Fsync, Broker: o.Broker, LostAfter: o.LostAfter,
		ClusterLostAfter: o.ClusterLostAfter, Hosts: hosts, Registry: registryAddress(o.family())}}
	for _, p := range programs(hosts) {
		if _, err := os.Stat(t.state.program(p)); err != nil {
			return nil, fmt.Errorf("find program %s: %w: build it with \"make build\", or name its folder with --bin", p, err)
		}
	}
	if err := t.step("clear left-overs away", func() error { return sweep(ctx, o.Dir, false) }); err != nil {
		return nil, err
	}
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	t.state.Ready = true
	if err := t.state.save(); err != nil {
		return nil, fmt.Errorf("record the testbed: %w", err)
	}
	return t, nil
}

// step runs f and tells of it.
func (t *Testbed) step(name string, f func() error) error {
	start := time.Now()
	if err := f(); err != nil {
		return err
	}
	if t.opts.Progress != nil {
		t.telling.Lock()
		defer t.telling.Unlock()
		t.opts.Progress(name, time.Since(start))
	}
	return nil
}

// prepare makes folders, secrets and the underlay.
func (t *Testbed) prepare() error {
	l := t.layout()
	if err := l.clearLogs(); err != nil {
		return err
	}
	if err := l.prepare(t.state.Hosts); err != nil {
		return err
	}
	if err := os.Chmod(runDir, 0o755); err != nil { // whatever the caller's umask: user postgres passes here
		return fmt.Errorf("prepare the testbed's folders: %w", err)
	}
	password, err := newPassword(l.passwordFile())
	if err != nil {
		return err
	}
	root, err := t.Host(rootHost)
	if err != nil {
		return err
	}
	t.state.API = API{URL: "http://" + net.JoinHostPort(root.Address, RootPort), Username: "Admin", Password: password}
	if err := t.state.save(); err != nil {
		return fmt.Errorf("record the testbed: %w", err)
	}
	if err := mountBpffs(); err != nil {
		return err
	}
	hosts := make([]underlay.Host, len(t.state.Hosts))
	for i, h := range t.state.Hosts {
		if hosts[i], err = h.link(); err != nil {
			return err
		}
	}
	return t.step("hosts and underlay", func() error { return underlay.Create(t.opts.family(), hosts) })
}

// start starts all components, side by side where none needs another.
func (t *Testbed) start(ctx context.Context) error {
	g, side := errgroup.WithContext(ctx)
	g.Go(func() error { return t.launch(side, t.registry(t.opts.Self)) })
	for _, w := range t.Hosts(RoleWorker) {
		g.Go(func() error {
			c, err := t.containerd(w)
			if err != nil {
				return err
			}
			return t.launch(side, c)
		})
		g.Go(func() error { return t.launch(side, t.netManager(w)) })
	}
	g.Go(func() error { return t.startOrchestrators(side) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := t.step("workers joined", func() error { return t.joinWorkers(ctx) }); err != nil {
		return err
	}
	return t.step("root knows all workers", func() error { return t.awaitRoot(ctx) })
}

// launch starts one component and waits until it answers.
func (t *Testbed) launch(ctx context.Context, c Component) error {
	return t.step(c.String(), func() error {
		if err := c.start(); err != nil {
			return err
		}
		return c.waitReady(ctx)
	})
}

// launchRoots starts the first root orchestrator, which makes the key that all of them share, and then the others at once.
func (t *Testbed) launchRoots(ctx context.Context) error {
	roots := t.Hosts(RoleRoot)
	if err := t.launch(ctx, t.root(roots[0])); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range roots[1:] {
		g.Go(func() error { return t.launch(ctx, t.root(h)) })
	}
	return g.Wait()
}

// startOrchestrators starts Postgres, then root, then the clusters.
func (t *Testbed) startOrchestrators(ctx context.Context) error {
	var db Component
	err := t.step("database made", func() (err error) {
		db, err = t.postgres(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := t.launch(ctx, db); err != nil {
		return err
	}
	names := []string{rootHost}
	clusters := t.Hosts(RoleCluster)
	for _, c := range clusters {
		names = append(names, c.Name)
	}
	if err := createDatabases(ctx, names); err != nil {
		return err
	}
	if err := t.launchRoots(ctx); err != nil {
		return err
	}
	if len(clusters) == 0 {
		return nil
	}
	tokens := make([]string, len(clusters))
	for i, c := range clusters {
		tokens[i] = t.layout().disk(c.Name, "join-token")
	}
	if err := t.issueToken(ctx, progRoot, "cluster", rootHost, len(clusters), tokens...); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range clusters {
		g.Go(func() error {
			if t.state.Broker == BrokerMosquitto {
				b, err := t.mosquitto(ctx, c)
				if err != nil {
					return err
				}
				if err := t.launch(ctx, b); err != nil {
					return err
				}
			}
			if err := t.launch(ctx, t.cluster(c, c)); err != nil {
				return err
			}
			for _, h := range t.Hosts(RoleStandby) {
				if h.Cluster == c.Name {
					return t.launch(ctx, t.cluster(h, c))
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// joinWorkers starts the NodeEngines and waits until every worker can run something.
func (t *Testbed) joinWorkers(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, cluster := range t.Hosts(RoleCluster) {
		var workers []Host
		var tokens []string
		for _, w := range t.Hosts(RoleWorker) {
			if w.Cluster == cluster.Name {
				workers = append(workers, w)
				tokens = append(tokens, t.layout().disk(w.Name, "join-token"))
			}
		}
		if len(workers) == 0 {
			continue
		}
		g.Go(func() error {
			if err := t.issueToken(ctx, progCluster, "worker", cluster.Name, len(workers), tokens...); err != nil {
				return err
			}
			for _, w := range workers {
				g.Go(func() error { return t.joinWorker(ctx, w, cluster) })
			}
			return nil
		})
	}
	return g.Wait()
}

// joinWorker starts a NodeEngine and waits until the overlay of its worker is ready, which takes the whole chain.
func (t *Testbed) joinWorker(ctx context.Context, w, cluster Host) error {
	if err := t.launch(ctx, t.nodeEngine(w, cluster)); err != nil {
		return err
	}
	net := t.netManager(w)
	recorded, err := component(net.String())
	if err != nil {
		return err
	}
	recorded.Ready = Probe{Socket: NetManagerSocket(w.Name), URL: "http://netmanager/v1/status", True: "ready"}
	if err := recorded.waitReady(ctx); err != nil {
		return fmt.Errorf("wait for the overlay of worker %s: %w\n  log of NodeEngine: %s\n%s", w.Name, err,
			t.LogFile("NodeEngine@"+w.Name), indent(tail(t.LogFile("NodeEngine@"+w.Name), 8)))
	}
	return nil
}
