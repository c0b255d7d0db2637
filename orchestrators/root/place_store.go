// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// decisions are what placing has decided, to be stored at once: placements in one statement however many they are, and the rest beside it.
type decisions struct {
	batch pgx.Batch

	services, clusters, states, details []string
	numbers, attempts                   []int
	placements, revisions               []int64
	delays                              []float64 // until the next attempt, in seconds
	near, explanations, refusals        []string  // JSON
}

// give adds that an instance is its cluster's from now on, by the desired state of that revision.
func (d *decisions) give(i *instanceRow, revision int64, near []wire.Proximity, why *wire.Explanation) error {
	var texts [3]string
	for n, v := range []any{near, why, i.refusals} {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write down why instance %s goes to cluster %s: %w", i.InstanceKey, i.cluster, err)
		}
		texts[n] = string(text)
	}
	d.services, d.numbers = append(d.services, i.ServiceID), append(d.numbers, i.Number)
	d.clusters, d.placements, d.revisions = append(d.clusters, i.cluster), append(d.placements, i.placement), append(d.revisions, revision)
	d.attempts, d.delays = append(d.attempts, i.attempts), append(d.delays, attemptDelay(i.attempts).Seconds())
	d.states, d.details = append(d.states, string(i.state)), append(d.details, i.detail)
	d.near, d.explanations, d.refusals = append(d.near, texts[0]), append(d.explanations, texts[1]), append(d.refusals, texts[2])
	return nil
}

// store carries all of it out.
func (d *decisions) store(ctx context.Context, tx pgx.Tx) error {
	if len(d.services) > 0 {
		d.batch.Queue(`UPDATE instance i SET cluster_id = g.cluster, placement = g.placement, revision = g.revision, placed_at = now(),
			attempts = g.attempts, next_attempt = now() + make_interval(secs => g.delay), state = g.state, detail = g.detail, since = now(), move = 0,
			cpu_percent = 0, memory_bytes = 0, restarts = 0, ready = NULL, near = g.near::jsonb, root_explanation = g.explanation::jsonb,
			cluster_explanation = NULL, leaving = false, refusals = g.refusals::jsonb
			FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::float8[], $8::text[], $9::text[], $10::text[],
				$11::text[], $12::text[])
				AS g (service, number, cluster, placement, revision, attempts, delay, state, detail, near, explanation, refusals)
			WHERE i.service_id = g.service AND i.number = g.number`,
			d.services, d.numbers, d.clusters, d.placements, d.revisions, d.attempts, d.delays, d.states, d.details, d.near, d.explanations, d.refusals)
	}
	if d.batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &d.batch).Close()
}
