// SPDX-License-Identifier: Apache-2.0

package root

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/abroad"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Config is what a root orchestrator has to be told.
type Config struct {
	// Ranges are the overlay's address ranges; see addresses.Fix.
	Ranges wire.Ranges
	Log    *slog.Logger
	// UserRate and PeerRate bound the requests of a user, and of an address, in a second, and six times as many at once; 0 is no bound.
	UserRate, PeerRate float64
	// Areas are places that latency constraints name, by lower-case name.
	Areas map[string]wire.Point
	// Vault seals users' secrets; without one none are taken.
	Vault *vault.Vault
	// Mail sends links to users who have lost their password; nil for none.
	Mail *Mail
	// LostAfter is how long a cluster has to be silent before its instances are given to others; [DefaultLostAfter] if zero.
	LostAfter time.Duration
	// StreamURL is https://HOST:PORT at which clusters reach this very process; empty for where they ask for their desired state.
	StreamURL string
	// Version is the program's, for the description of the API.
	Version string
}

// Root is one process of the root orchestrator.
type Root struct {
	pool   *pgxpool.Pool
	users  *users.Store
	ca     *identity.CA
	ranges wire.Ranges
	areas  map[string]wire.Point
	log    *slog.Logger
	hub    *hub
	held   *abroad.Held

	presence *store.Presence
	// started is when the epoch was raised, allHeard whether all clusters have told what they have since.
	started   time.Time
	allHeard  atomic.Bool
	lostAfter time.Duration
	listening listening

	guesses *guesses
	vault   *vault.Vault
	streams *streams
	perUser *httpapi.Limiter
	perPeer *httpapi.Limiter
	mail    *Mail
	// perMailer bounds the mails that one address asks for; resets are those that wait.
	perMailer *httpapi.Limiter
	resets    chan resetBody
	wake      chan struct{} // asks for a pass over the instances that have no place
	// wakeRollout asks for a look at what services are to become.
	wakeRollout chan struct{}
	handler     http.Handler
}

// New prepares a root orchestrator on a database that store.Open has opened with schema.Files. It joins others that serve the
// database, or else raises its epoch. Its place among them ends with [Root.Run].
func New(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Root, error) {
	r := &Root{pool: pool, ranges: cfg.Ranges, areas: cfg.Areas, log: cfg.Log, hub: newHub(), held: abroad.NewHeld(), lostAfter: cmp.Or(cfg.LostAfter, DefaultLostAfter), guesses: newGuesses(), vault: cfg.Vault, streams: newStreams(cfg.StreamURL),
		perUser: httpapi.NewLimiter(cfg.UserRate), perPeer: httpapi.NewLimiter(cfg.PeerRate),
		mail: cfg.Mail, perMailer: httpapi.NewLimiter(resetsPerSecond), resets: make(chan resetBody, maxResets),
		wake: make(chan struct{}, 1), wakeRollout: make(chan struct{}, 1)}
	err := store.InTx(ctx, pool, func(tx pgx.Tx) error {
		if cfg.Vault != nil {
			if _, err := sealingKey(ctx, tx, cfg.Vault); err != nil {
				return err
			}
		}
		return addresses.Fix(ctx, tx, cfg.Ranges)
	})
	if err != nil {
		return nil, err
	}
	if r.ca, err = identity.LoadCA(ctx, pool); err != nil {
		return nil, err
	}
	if r.users, err = users.Open(ctx, pool); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(newStateMetrics(pool, r.log)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	document, err := r.describe(cfg.Version)
	if err != nil {
		return nil, err
	}
	r.handler = r.routes(registry, document)
	var epoch uint64
	if r.presence, epoch, err = store.Enter(ctx, pool, cfg.Log); err != nil {
		return nil, err
	}
	r.started = startedAt(epoch)
	r.log.Info("root orchestrator ready", "installation", r.ca.ID(), "epoch", epoch)
	return r, nil
}

// Users returns the accounts.
func (r *Root) Users() *users.Store { return r.users }

// CA returns the authority that issues clusters' identities.
func (r *Root) CA() *identity.CA { return r.ca }

// Handler returns the HTTP API.
func (r *Root) Handler() http.Handler { return r.handler }

// Run does what happens without a request until ctx ends: it passes on hints to waiting clusters, looks for places for
// instances that have none, and has instances follow what their services have become. It outlives any absence of the database.
func (r *Root) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { r.presence.Keep(ctx); return nil })
	group.Go(func() error { return r.hub.listen(ctx, r.pool, r.log) })
	group.Go(func() error { return r.retryUnplaced(ctx) })
	group.Go(func() error { return r.runRollouts(ctx) })
	group.Go(func() error { return r.sendResets(ctx) })
	return group.Wait()
}

// ready reports whether the database answers.
func (r *Root) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := r.pool.Ping(ctx); err != nil {
		r.log.Debug("database does not answer", "error", err)
		return errDatabaseAway
	}
	return nil
}
