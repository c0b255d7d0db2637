// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// placingLock is the key of the advisory lock of [Root.placing]; any number that nothing else in the database uses.
const placingLock = 0x6f616b01

// placing runs f in a transaction in which nobody else places, moves, removes or reports instances. One lock in place of an
// order of row locks: placing reserves capacity of a cluster for which others compete, and touches instances, clusters and
// tombstones in an order that each caller chooses by what it finds.
func (r *Root) placing(ctx context.Context, f func(tx pgx.Tx) error) error {
	return store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, placingLock); err != nil {
			return fmt.Errorf("wait for the placing lock: %w", err)
		}
		return f(tx)
	})
}

// instanceRow is an instance as placing sees it.
type instanceRow struct {
	wire.InstanceKey
	spec      wire.InstanceSpec
	service   sla.Microservice
	cluster   string // "" while no cluster has it
	leaving   bool   // its cluster keeps it only until another one runs it
	placement int64
	attempts  int
	state     wire.State
	detail    string
	refusals  map[string]refusal
}

var errNoInstance = errors.New("the instance is gone")

// loadInstance reads an instance that is not to stop; it has to run under the placing lock.
func loadInstance(ctx context.Context, tx pgx.Tx, key wire.InstanceKey) (*instanceRow, error) {
	list, err := loadInstances(ctx, tx, []wire.InstanceKey{key})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errNoInstance
	}
	return list[0], nil
}

// loadInstances reads those of the instances that are there and are not to stop, in their order.
func loadInstances(ctx context.Context, tx pgx.Tx, keys []wire.InstanceKey) ([]*instanceRow, error) {
	services, numbers := make([]string, len(keys)), make([]int, len(keys))
	for n, key := range keys {
		services[n], numbers[n] = key.ServiceID, key.Number
	}
	rows, err := tx.Query(ctx, `SELECT i.service_id, i.number, i.spec, s.descriptor, a.constraints, coalesce(i.cluster_id, ''), i.placement, i.attempts,
			i.state, i.detail, i.refusals, i.leaving
		FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS k (service, number, n) JOIN instance i ON i.service_id = k.service AND i.number = k.number
		JOIN service s ON s.id = i.service_id JOIN application a ON a.id = s.application_id WHERE i.deleted_at IS NULL ORDER BY k.n`, services, numbers)
	if err != nil {
		return nil, fmt.Errorf("read %d instances: %w", len(keys), err)
	}
	descriptors := map[string]*sla.Microservice{} // read once each: a burst is of few services
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*instanceRow, error) {
		i := &instanceRow{}
		var spec, service []byte
		var shared []sla.Constraint
		err := row.Scan(&i.ServiceID, &i.Number, &spec, &service, &shared, &i.cluster, &i.placement, &i.attempts, &i.state, &i.detail, &i.refusals, &i.leaving)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(spec, &i.spec); err != nil {
			return nil, fmt.Errorf("read specification of instance %s: %w", i.InstanceKey, err)
		}
		m := descriptors[i.ServiceID]
		if m == nil {
			m = &sla.Microservice{}
			if err := json.Unmarshal(service, m); err != nil {
				return nil, fmt.Errorf("read descriptor of service %s: %w", i.ServiceID, err)
			}
			m.Constraints = append(m.Constraints, shared...)
			descriptors[i.ServiceID] = m
		}
		i.service = *m
		return i, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d instances: %w", len(keys), err)
	}
	return list, nil
}

// place gives an instance to the cluster that suits it best, with a new placement, or notes why none does. An instance that
// a cluster has stays with that one if no other is better off. It has to run under the placing lock.
func (r *Root) place(ctx context.Context, tx pgx.Tx, i *instanceRow, view *clusterView) error {
	return r.placeAll(ctx, tx, []*instanceRow{i}, view)
}

// placeAll places instances one after the other, and stores all of it at once.
func (r *Root) placeAll(ctx context.Context, tx pgx.Tx, list []*instanceRow, view *clusterView) error {
	out := &decisions{}
	flush := func() error {
		view.touch(&out.batch)
		if err := out.store(ctx, tx); err != nil {
			return fmt.Errorf("store where %d instances go: %w", len(list), err)
		}
		out = &decisions{}
		return nil
	}
	// Those that have to be near to others come once it is stored where these are.
	for _, near := range []bool{false, true} {
		for _, i := range list {
			if near != (len(i.service.Connectivity) > 0) {
				continue
			}
			if err := r.decide(ctx, tx, i, view, out); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// decide chooses a cluster for one instance, reserves on it, and adds to out what is to be stored.
func (r *Root) decide(ctx context.Context, tx pgx.Tx, i *instanceRow, view *clusterView, out *decisions) error {
	if err := view.count(ctx, tx, i.ServiceID); err != nil {
		return err
	}
	demand := demandOf(&i.service)
	near, err := r.resolve(ctx, tx, i, &demand, view)
	if err != nil {
		return err
	}
	req := scheduler.FromSpec(i.ServiceID, &i.spec)
	req.Nodes, req.Ports = nil, nil // are about workers, which the cluster knows
	demand.ask(&req)
	for n := range near {
		d := scheduler.DemandOf(&near[n])
		view.fromEach(&d)
		req.Near = append(req.Near, d)
	}
	now := time.Now().UTC()
	req.Exclude = i.refusedBy(view, now)
	placement, why := view.pool.Place(&req, scheduler.Spread)
	why.Tier, why.At = wire.TierRoot, now
	if !placement.Found() {
		i.noteUnplaced(&out.batch, view, demand.failure(view), &why)
		return nil
	}
	chosen := view.find(placement.Site)
	if i.cluster != "" {
		if err := handOver(ctx, tx, i, i.leaving || view.lost(i.cluster)); err != nil {
			return err
		}
		view.pool.Count(i.ServiceID, i.cluster, -1)
	}
	revision, err := view.revision(ctx, tx, chosen.id)
	if err != nil {
		return err
	}
	i.cluster, i.placement, i.attempts = chosen.id, i.placement+1, i.attempts+1
	i.state, i.detail = wire.StateClusterScheduled, "given to cluster "+chosen.name+", which chooses a worker"
	if i.leaving {
		i.detail += "; where it was, it runs on until it runs there"
		i.leaving = false
	}
	if err := out.give(i, revision, view.elsewhere(near, chosen.id), &why); err != nil {
		return err
	}
	view.reserve(chosen.id, i.spec.Arch, req.Need)
	view.pool.Count(i.ServiceID, chosen.id, 1)
	return nil
}

// revision returns a revision of the cluster's desired state that this transaction has raised.
func (v *clusterView) revision(ctx context.Context, tx pgx.Tx, clusterID string) (int64, error) {
	if known, ok := v.revisions[clusterID]; ok {
		return known, nil
	}
	raised, err := raiseRevision(ctx, tx, clusterID)
	if err == nil {
		v.revisions[clusterID] = raised
	}
	return raised, err
}

// touch has it noted that instances of which there is nothing new were tried.
func (v *clusterView) touch(batch *pgx.Batch) {
	if len(v.unchanged) == 0 {
		return
	}
	services, numbers := make([]string, len(v.unchanged)), make([]int, len(v.unchanged))
	for n, key := range v.unchanged {
		services[n], numbers[n] = key.ServiceID, key.Number
	}
	batch.Queue(`UPDATE instance i SET next_attempt = clock_timestamp() FROM unnest($1::text[], $2::int[]) AS t (service, number)
		WHERE i.service_id = t.service AND i.number = t.number`, services, numbers)
	v.unchanged = nil
}

// noteUnplaced has it stored why an instance has no place. One that a cluster has keeps what its cluster says of it.
func (i *instanceRow) noteUnplaced(batch *pgx.Batch, view *clusterView, state wire.State, why *wire.Explanation) {
	if i.cluster != "" {
		batch.Queue(`UPDATE instance SET attempts = attempts + 1, next_attempt = now() + $3, root_explanation = $4, refusals = $5
			WHERE service_id = $1 AND number = $2`, i.ServiceID, i.Number, min(attemptDelay(i.attempts+1), i.nextGain(view, why.At)), why, i.refusals)
		return
	}
	detail := "no cluster has joined yet"
	if why.Candidates > 0 {
		detail = why.String()
	}
	if i.state == state && i.detail == detail {
		view.unchanged = append(view.unchanged, i.InstanceKey)
		return
	}
	// since tells for how long the state has lasted, whatever the reasons were.
	batch.Queue(`UPDATE instance SET since = CASE WHEN state = $3 THEN since ELSE now() END, state = $3, detail = $4,
		next_attempt = clock_timestamp(), root_explanation = $5, refusals = $6 WHERE service_id = $1 AND number = $2`,
		i.ServiceID, i.Number, state, detail, why, i.refusals)
	i.state, i.detail = state, detail
}

// attemptDelay spaces the attempts to find another cluster: 1 s, doubled each time up to about four minutes. It and the memory of who has
// refused keep an instance that fits nowhere from going round among clusters that each believe to have room; capacity that appears in one
// brings the next attempt forward.
func attemptDelay(attempts int) time.Duration {
	return time.Second << min(max(attempts-1, 0), 8)
}
