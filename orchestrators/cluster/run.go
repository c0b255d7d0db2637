// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Run runs a cluster orchestrator until ctx ends, which is not an error, or until another process takes its database over.
// It waits for Postgres; root may be away. With an external
// broker it waits, too, while another process of the same database is active.
func Run(ctx context.Context, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	pool, err := openDatabase(ctx, &o)
	if err != nil {
		return err
	}
	defer pool.Close()
	leadership, err := lead(ctx, pool, &o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	c := &Cluster{
		opts: o, log: o.Log, start: time.Now(), pool: pool, reg: prometheus.NewRegistry(),
		unclaimed: map[string]map[ledger.CopyID]wire.WorkerInstance{}, overruled: map[string]struct{}{}, looked: time.Now(), revisions: map[string]uint64{}, unfed: map[string]struct{}{}, behind: newWriteBehind(), demand: newDemand(),
		wakeDecider: make(chan struct{}, 1), wakeReporter: make(chan struct{}, 1), wakeWriter: make(chan struct{}, 1),
		wakeAbroad: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1),
	}
	c.streams = newStreams(c)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return keepLead(ctx, leadership) })
	g.Go(func() error { return c.run(ctx) })
	return g.Wait()
}

func (c *Cluster) run(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	defer func() { _ = c.broker.Close() }()
	defer c.closeHellos()
	return c.serve(ctx)
}

// openDatabase waits for Postgres for as long as it is merely away.
func openDatabase(ctx context.Context, o *Options) (*pgxpool.Pool, error) {
	retry := uplink.Backoff{Least: time.Second, Most: 10 * time.Second}
	for {
		pool, err := store.Open(ctx, o.Database, records.Migrations(), o.Log)
		if err == nil {
			return pool, nil
		}
		if !store.IsUnavailable(err) && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return nil, err
		}
		o.Log.Warn("database is away, waiting for it", "error", err)
		if !retry.Wait(ctx) {
			return nil, err
		}
	}
}

// prepare loads everything and publishes the retained state, before anyone can connect.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	if c.ca, err = identity.LoadCA(ctx, c.pool); err != nil {
		return err
	}
	key, err := pki.NewKey()
	if err != nil {
		return err
	}
	var link records.Link
	err = store.InTx(ctx, c.pool, func(tx pgx.Tx) (err error) {
		link, err = records.EnsureLink(ctx, tx, string(key))
		return err
	})
	if err != nil {
		return err
	}
	epoch, err := store.RaiseEpoch(ctx, c.pool)
	if err != nil {
		return err
	}
	if err := c.makeBus(); err != nil {
		return err
	}
	c.gauges = newGauges(c.reg)
	if err := c.load(ctx, epoch, link); err != nil {
		return err
	}
	if err := c.openHellos(); err != nil {
		return err
	}
	c.republish()
	if err := c.subscribe(); err != nil {
		return err
	}
	return c.openOuter()
}

// serve runs all loops and listeners until one fails or ctx ends.
func (c *Cluster) serve(ctx context.Context) error {
	tlsConfig, err := c.ca.ServerTLS()
	if err != nil {
		return err
	}
	api := c.opts.Listener
	if api == nil {
		if api, err = listen(ctx, c.opts.Listen, "--listen"); err != nil {
			return err
		}
	}
	brokers, err := c.openBuiltin(ctx, tlsConfig)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return httpapi.ServeListener(ctx, api, tlsConfig, c.opts.AllowPlain, c.routes(brokers), c.log)
	})
	g.Go(func() error { c.plane.Run(ctx); return nil })
	for _, conn := range c.hellos {
		g.Go(func() error { return c.seer.Serve(ctx, conn) })
	}
	g.Go(func() error { return c.runDecider(ctx) })
	g.Go(func() error { c.runAway(ctx); return nil })
	g.Go(func() error { c.runWriter(ctx); return nil })
	g.Go(func() error { c.runWeights(ctx); return nil })
	g.Go(func() error { c.runRoot(ctx); return nil })
	g.Go(func() error { c.runKeeper(ctx); return nil })
	return g.Wait()
}

func listen(ctx context.Context, addr, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w", addr, flag, err)
	}
	return ln, nil
}
