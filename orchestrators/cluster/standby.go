// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// errStandby is why a process that waits is not ready.
var errStandby = errors.New("another cluster orchestrator of this database is the active one; this one waits to take over")

// lead returns once this process is the active one of the cluster. With the built-in broker that is at once: its workers are its own, and a
// second process takes the database over by its epoch. With an external one any number of processes may be started; those that wait say so on
// /readyz, so that nobody is led to them.
func lead(ctx context.Context, pool *pgxpool.Pool, o *Options) (*store.Leadership, error) {
	if len(o.Brokers) == 0 {
		return nil, nil
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	l, err := store.Lead(ctx, pool, o.Log, func() {
		o.Log.Info("another cluster orchestrator of this database is active: waiting to take over")
		g.Go(func() error { return serveStandby(waiting, pool, o) })
	})
	stop()
	if served := g.Wait(); err == nil {
		err = served
	}
	if err != nil {
		return nil, fmt.Errorf("wait to be the active cluster orchestrator: %w", err)
	}
	o.Log.Info("this is the active cluster orchestrator of its database")
	return l, nil
}

// serveStandby answers questions after this process's health until ctx ends.
func serveStandby(ctx context.Context, pool *pgxpool.Pool, o *Options) error {
	if o.Listener != nil {
		return nil // it cannot be opened again; who connects waits
	}
	ca, err := identity.LoadCA(ctx, pool)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	conf, err := ca.ServerTLS()
	if err != nil {
		return err
	}
	ln, err := listen(ctx, o.Listen, "--listen")
	if err != nil {
		return err
	}
	var h http.Handler = httpapi.New(o.Log, httpapi.Ready(func(context.Context) error { return errStandby }))
	return httpapi.ServeListener(ctx, ln, conf, o.AllowPlain, h, o.Log)
}

// keepLead shows that this process is active until ctx ends, or another one is.
func keepLead(ctx context.Context, l *store.Leadership) error {
	if l == nil {
		return nil
	}
	if err := l.Keep(ctx); err != nil {
		return fmt.Errorf("%w: %w", records.ErrTakenOver, err)
	}
	return nil
}
