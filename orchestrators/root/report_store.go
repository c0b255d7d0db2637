// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// storeInstances stores what a cluster says of instances, no two lines of which are of one, in one statement.
func storeInstances(ctx context.Context, tx pgx.Tx, lines []*wire.InstanceReport) error {
	if len(lines) == 0 {
		return nil
	}
	services, numbers := columns(keysOf(lines))
	states, details, scheduling := make([]string, len(lines)), make([]string, len(lines)), make([]*string, len(lines))
	sinces, moves := make([]*time.Time, len(lines)), make([]int64, len(lines))
	cpu, memory, restarts, ready := make([]float64, len(lines)), make([]int64, len(lines)), make([]int, len(lines)), make([]*bool, len(lines))
	leaving := make([]bool, len(lines))
	for n, in := range lines {
		leaving[n] = in.Leaving
		states[n], details[n], moves[n] = string(in.State), in.Detail, int64(in.Generation.Move)
		cpu[n], memory[n], restarts[n], ready[n] = in.CPUPercent, in.MemoryBytes, in.Restarts, in.Ready
		if !in.Since.IsZero() {
			sinces[n] = &in.Since
		}
		if in.Scheduling == nil {
			continue
		}
		text, err := json.Marshal(in.Scheduling)
		if err != nil {
			return fmt.Errorf("write down why instance %s is where it is: %w", in.InstanceKey, err)
		}
		scheduling[n] = new(string)
		*scheduling[n] = string(text)
	}
	// Once a worker has it, later attempts to place it start from the shortest delay again.
	_, err := tx.Exec(ctx, `UPDATE instance i SET state = s.state, detail = s.detail, since = coalesce(s.since, now()), move = s.move,
			cpu_percent = s.cpu, memory_bytes = s.memory, restarts = s.restarts, ready = s.ready, reported_at = now(), leaving = s.leaving,
			next_attempt = CASE WHEN s.leaving AND NOT i.leaving THEN now() ELSE i.next_attempt END,
			attempts = CASE WHEN s.leaving OR s.state = ANY ($12) THEN i.attempts ELSE 0 END,
			refusals = CASE WHEN s.state IN ('RUNNING', 'COMPLETED') AND NOT s.leaving THEN '{}' ELSE i.refusals END,
			cluster_explanation = coalesce(s.scheduling::jsonb, i.cluster_explanation)
		FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::float8[], $8::bigint[], $9::int[], $10::boolean[],
			$11::text[], $13::boolean[]) AS s (service, number, state, detail, since, move, cpu, memory, restarts, ready, scheduling, leaving)
		WHERE i.service_id = s.service AND i.number = s.number`,
		services, numbers, states, details, sinces, moves, cpu, memory, restarts, ready, scheduling, append(givenBack(), wire.StateClusterScheduled), leaving)
	if err != nil {
		return fmt.Errorf("store states of %d instances, the first %s: %w", len(lines), lines[0].InstanceKey, err)
	}
	return nil
}
