// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/observer"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// Cluster is a cluster orchestrator.
type Cluster struct {
	opts   Options
	log    *slog.Logger
	start  time.Time
	pool   *pgxpool.Pool
	ca     *identity.CA
	broker bus
	// outer is the broker if that is an external one, builtin if it is not.
	outer   *external.Client
	builtin *broker.Broker
	// met says that the external broker was connected to and has not been told everything since.
	met    atomic.Bool
	plane  *overlay.Plane
	hellos []*net.UDPConn // the first, and the other one if there is one
	seer   *observer.Observer
	// streams are what users wait for.
	streams *streams
	gauges  *gauges
	reg     *prometheus.Registry

	// epoch is the one of this process; it changes only if a higher one is seen from below.
	epoch atomic.Uint64
	// epochMu is held for reading while something is written in the epoch, and for writing while that is raised. It is taken after decide.
	epochMu sync.RWMutex
	// seenEpoch is the highest that a worker said it holds.
	seenEpoch atomic.Uint64
	connected atomic.Bool // to root
	warned    atomic.Bool // that root does not answer

	// client speaks to root, once that has taken the cluster in; held are the secrets that it has told.
	client atomic.Pointer[uplink.Client]
	held   heldSecrets

	// decide serializes decisions: computing, storing, applying and publishing one. It is taken before mu.
	decide sync.Mutex
	// feed serializes handing services to the overlay, so that an older view never follows a newer. It is taken before mu.
	feed sync.Mutex

	mu        sync.Mutex
	ledger    *ledger.Ledger
	unclaimed map[string]map[ledger.CopyID]wire.WorkerInstance
	// overruled are workers of whom an external broker held state of another life; looked is when workers were last looked at.
	overruled map[string]struct{}
	looked    time.Time
	revisions map[string]uint64 // of each worker's desired state
	link      records.Link
	applied   wire.Stamp // of root's desired state, in this process's life
	problem   string     // why root's desired state is not taken over
	cancelAsk context.CancelCauseFunc
	// asked is root's last question for the workers, answered the one that was answered last.
	asked, answered uint64
	// unfed are services of which the overlay does not know the latest.
	unfed map[string]struct{}
	// abroadEpoch is root's in what it last said of other clusters.
	abroadEpoch uint64
	free        int // leased subnets that no worker has, as last counted
	demand      demand
	behind      writeBehind

	// Each of these holds at most one wake-up.
	wakeDecider, wakeReporter, wakeWriter, wakeAbroad, wakeKeeper chan struct{}
}

// maxOuterWaiting is how many bytes may wait for an external broker before what is not urgent is gathered instead.
const maxOuterWaiting = 2 << 20

// loadTimeout bounds reading everything: some hundred thousand rows.
const loadTimeout = time.Minute

// load reads everything from the database under a fresh epoch.
func (c *Cluster) load(ctx context.Context, epoch uint64, link records.Link) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var stored records.Stored
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) (err error) {
		stored, err = records.Load(ctx, tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	if c.free, err = records.FreeSubnets(ctx, c.pool); err != nil {
		return err
	}
	c.epoch.Store(epoch)
	c.link = link
	c.ledger = ledger.New(ledger.Options{Start: c.start, Grace: ledger.DefaultGrace, Silent: ledger.DefaultSilent, LostAfter: c.opts.LostAfter,
		Drain: ledger.DefaultDrain, Strategy: scheduler.Strategy(c.opts.Placement), Where: c.opts.where()})
	core := overlay.NewCore(epoch, c.start.Add(ledger.DefaultGrace))
	c.plane = overlay.NewPlane(core, c.publishNet, c.feedPending)
	if c.outer != nil {
		c.plane.Busy = func() bool { return c.outer.Waiting() > maxOuterWaiting }
	}
	for _, w := range stored.Workers {
		c.ledger.PutWorker(w.ID, w.Name, w.Subnets, false)
		c.ledger.Restore(w.Order)
		core.SetWorker(w.ID, w.Subnets)
	}
	if err := c.loadAbroad(ctx, core); err != nil {
		return err
	}
	affected := c.ledger.Load(stored.Instances, stored.Copies, stored.Removals)
	c.feedSoon(affected.Services)
	c.feedPending()
	for _, o := range stored.Overlays {
		if o.Endpoints != nil {
			core.SetEndpoints(o.WorkerID, *o.Endpoints, false)
		}
		if o.Interest != nil {
			core.RestoreInterest(o.WorkerID, o.Interest.Addresses)
		}
	}
	c.log.Info("state loaded", "epoch", epoch, "workers", len(stored.Workers), "instances", len(stored.Instances), "placements", len(stored.Copies))
	return nil
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
