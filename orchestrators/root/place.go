// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
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
	placement int64
	attempts  int
	state     wire.State
	detail    string
}

var errNoInstance = errors.New("the instance is gone")

// loadInstance reads an instance that is not to stop; it has to run under the placing lock.
func loadInstance(ctx context.Context, tx pgx.Tx, key wire.InstanceKey) (*instanceRow, error) {
	i := &instanceRow{InstanceKey: key}
	var spec, service []byte
	err := tx.QueryRow(ctx, `SELECT i.spec, s.descriptor, coalesce(i.cluster_id, ''), i.placement, i.attempts, i.state, i.detail
		FROM instance i JOIN service s ON s.id = i.service_id WHERE i.service_id = $1 AND i.number = $2 AND i.deleted_at IS NULL`,
		key.ServiceID, key.Number).Scan(&spec, &service, &i.cluster, &i.placement, &i.attempts, &i.state, &i.detail)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoInstance
	}
	if err != nil {
		return nil, fmt.Errorf("read instance %s: %w", key, err)
	}
	if err := json.Unmarshal(spec, &i.spec); err != nil {
		return nil, fmt.Errorf("read specification of instance %s: %w", key, err)
	}
	if err := json.Unmarshal(service, &i.service); err != nil {
		return nil, fmt.Errorf("read descriptor of service %s: %w", key.ServiceID, err)
	}
	return i, nil
}

// place gives an instance to the cluster that suits it best, with a new placement, or notes why none does. An instance that
// a cluster has stays with that one if no other is better off. It has to run under the placing lock.
func (r *Root) place(ctx context.Context, tx pgx.Tx, i *instanceRow, view *clusterView) error {
	demand := demandOf(&i.service)
	sameService, err := countByCluster(ctx, tx, i.ServiceID)
	if err != nil {
		return err
	}
	req := scheduler.FromSpec(&i.spec)
	req.Nodes, req.Ports = nil, nil // are about workers, which the cluster knows
	if i.cluster != "" {
		req.Exclude = map[string]string{i.cluster: "could not place it on any of its workers"}
		if i.state == wire.StateClusterScheduled {
			req.Exclude[i.cluster] = fmt.Sprintf("has not said anything of it within %s", lifecycle.AnswerWithin)
		}
	}
	candidates, index := view.candidates(req, demand, sameService)
	placement, why := scheduler.Place(req, candidates, scheduler.Spread)
	if !placement.Found() {
		return r.noteUnplaced(ctx, tx, i, demand.failure(view), why)
	}
	chosen := index[placement.Index]
	if i.cluster != "" {
		if err := bury(ctx, tx, i.cluster, i.InstanceKey, i.placement); err != nil {
			return err
		}
	}
	revision, err := raiseRevision(ctx, tx, chosen.id)
	if err != nil {
		return err
	}
	i.cluster, i.placement, i.attempts = chosen.id, i.placement+1, i.attempts+1
	i.state, i.detail = wire.StateClusterScheduled, "given to cluster "+chosen.name+", which chooses a worker"
	_, err = tx.Exec(ctx, `UPDATE instance SET cluster_id = $3, placement = $4, revision = $5, placed_at = now(), attempts = $6,
		next_attempt = now() + $7, state = $8, detail = $9, since = now(), move = 0, cpu_percent = 0, memory_bytes = 0, restarts = 0, ready = NULL
		WHERE service_id = $1 AND number = $2`,
		i.ServiceID, i.Number, i.cluster, i.placement, revision, i.attempts, attemptDelay(i.attempts), i.state, i.detail)
	if err != nil {
		return fmt.Errorf("give instance %s to cluster %s: %w", i.InstanceKey, chosen.name, err)
	}
	view.reserve(chosen.id, i.spec.Arch, req.Need)
	return nil
}

// noteUnplaced stores why an instance has no place. One that a cluster has keeps what its cluster says of it.
func (r *Root) noteUnplaced(ctx context.Context, tx pgx.Tx, i *instanceRow, state wire.State, why scheduler.Explanation) error {
	detail := why.String()
	if len(why.Rejections) == 0 {
		detail = "no cluster has joined yet"
	}
	var err error
	if i.cluster != "" {
		_, err = tx.Exec(ctx, `UPDATE instance SET attempts = attempts + 1, next_attempt = now() + $3 WHERE service_id = $1 AND number = $2`,
			i.ServiceID, i.Number, attemptDelay(i.attempts+1))
	} else {
		// since tells for how long the state has lasted, whatever the reasons were.
		_, err = tx.Exec(ctx, `UPDATE instance SET since = CASE WHEN state = $3 THEN since ELSE now() END, state = $3, detail = $4,
			next_attempt = clock_timestamp() WHERE service_id = $1 AND number = $2`, i.ServiceID, i.Number, state, detail)
		i.state, i.detail = state, detail
	}
	if err != nil {
		return fmt.Errorf("note that instance %s has no place: %w", i.InstanceKey, err)
	}
	return nil
}

// attemptDelay spaces the attempts to find another cluster: 5 s, doubled each time up to about five minutes. It keeps an
// instance that fits nowhere from going round among clusters that each believe to have room.
func attemptDelay(attempts int) time.Duration {
	return 5 * time.Second << min(max(attempts-1, 0), 6)
}

func countByCluster(ctx context.Context, tx pgx.Tx, serviceID string) (map[string]int, error) {
	rows, err := tx.Query(ctx, `SELECT cluster_id, count(*) FROM instance
		WHERE service_id = $1 AND cluster_id IS NOT NULL AND deleted_at IS NULL GROUP BY cluster_id`, serviceID)
	if err != nil {
		return nil, fmt.Errorf("count instances by cluster: %w", err)
	}
	out := map[string]int{}
	var id string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { out[id] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count instances by cluster: %w", err)
	}
	return out, nil
}
