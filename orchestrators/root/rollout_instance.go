// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// What follows gives a new specification to an instance, which keeps its number and addresses. All of it has to run under the placing
// lock.

// relabel stores a specification that differs in nothing for which the instance would have to stop.
func relabel(ctx context.Context, tx pgx.Tx, i *instanceRow, spec wire.InstanceSpec) error {
	var revision int64
	if i.cluster != "" {
		var err error
		if revision, err = raiseRevision(ctx, tx, i.cluster); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `UPDATE instance SET spec = $3, service_revision = $4, revision = greatest(revision, $5)
		WHERE service_id = $1 AND number = $2`, i.ServiceID, i.Number, spec, spec.Revision, revision)
	if err != nil {
		return fmt.Errorf("store specification of instance %s: %w", i.InstanceKey, err)
	}
	return nil
}

// replace has an instance stopped and started again with another specification: by the cluster that has it, as a new placement, if that
// one may still have it; else wherever there is a place.
func (r *Root) replace(ctx context.Context, tx pgx.Tx, i *instanceRow, spec wire.InstanceSpec, view *clusterView) error {
	at := view.named([]string{i.cluster})
	if i.cluster == "" || len(at) == 0 || barred(&i.service, at[0]) != "" || slices.Contains(givenBack(), i.state) {
		r.wakeRetry()
		return takeOff(ctx, tx, i, spec, false)
	}
	revision, err := raiseRevision(ctx, tx, i.cluster)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE instance SET spec = $3, service_revision = $4, placement = placement + 1, revision = $5, placed_at = now(),
		attempts = 1, next_attempt = now() + $6, state = $7, detail = $8, since = now(), move = 0, cpu_percent = 0, memory_bytes = 0, restarts = 0,
		ready = NULL, leaving = false WHERE service_id = $1 AND number = $2`,
		i.ServiceID, i.Number, spec, spec.Revision, revision, attemptDelay(1), wire.StateClusterScheduled,
		fmt.Sprintf("cluster %s is to replace it by one of revision %d", at[0].name, spec.Revision))
	if err != nil {
		return fmt.Errorf("replace instance %s: %w", i.InstanceKey, err)
	}
	return nil
}

// takeOff has an instance stopped wherever it is and leaves it without a place; one that is held gets none until that is undone.
func takeOff(ctx context.Context, tx pgx.Tx, i *instanceRow, spec wire.InstanceSpec, hold bool) error {
	if i.cluster != "" {
		if err := bury(ctx, tx, i.cluster, i.InstanceKey, i.placement); err != nil {
			return err
		}
	}
	detail := "root is choosing a cluster"
	if hold {
		detail = "waits until all instances of the former revision have stopped"
	}
	_, err := tx.Exec(ctx, `UPDATE instance SET spec = $3, service_revision = $4, held = $5, cluster_id = NULL, placed_at = NULL, attempts = 0,
		next_attempt = now(), state = $6, detail = $7, since = now(), move = 0, cpu_percent = 0, memory_bytes = 0, restarts = 0, ready = NULL,
		leaving = false WHERE service_id = $1 AND number = $2`, i.ServiceID, i.Number, spec, spec.Revision, hold, wire.StateRequested, detail)
	if err != nil {
		return fmt.Errorf("take instance %s off: %w", i.InstanceKey, err)
	}
	return nil
}
