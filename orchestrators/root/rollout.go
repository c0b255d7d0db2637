// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/sla"
)

const (
	// rolloutIdle and rolloutBusy are the times between two looks, while nothing changes over and while something does. A report, and
	// whoever changes something, brings the next one forward.
	rolloutIdle = 5 * time.Second
	rolloutBusy = time.Second
	// rolloutSpacing is the least time between two looks.
	rolloutSpacing = 100 * time.Millisecond
	// rolloutTimeout bounds one pass, should the database hang.
	rolloutTimeout = time.Minute
	// rolloutBatch bounds the instances that change over in one transaction.
	rolloutBatch = 64
	// defaultDeadline is how long a rollout may stand still before it has failed.
	defaultDeadline = 300 * time.Second
	// failedFor is how long an updated instance may say that it has failed, before the whole rollout has.
	failedFor = 10 * time.Second
)

// rolloutState is how a change of a service's descriptor stands.
type rolloutState string

const (
	rolloutProgressing rolloutState = "progressing"
	rolloutComplete    rolloutState = "complete"
	rolloutFailed      rolloutState = "failed" // and is not taken back
)

// available is the condition under which an instance serves, or has done what it was for.
const available = `(state = 'COMPLETED' OR state = 'RUNNING' AND coalesce(ready, NOT spec ? 'readiness_probe'))`

// rollout is the change of one service's instances to its present descriptor.
type rollout struct {
	service            string
	revision, previous int
	state              rolloutState
	rollingBack        bool
	available          int
	idle               time.Duration // since it last progressed
}

// wakeRollouts asks for a look soon. It never blocks.
func (r *Root) wakeRollouts() {
	select {
	case r.wakeRollout <- struct{}{}:
	default:
	}
}

// runRollouts carries changes of services to their instances, and keeps the numbers of instances, until ctx ends. All that it knows is in
// the database: any process goes on where another has stopped.
func (r *Root) runRollouts(ctx context.Context) error {
	for busy := true; ; {
		pause := rolloutIdle
		if busy {
			pause = rolloutBusy
		}
		timer := time.NewTimer(pause*3/4 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.wakeRollout:
		case <-timer.C:
		}
		timer.Stop()
		var err error
		if busy, err = r.rolloutPass(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("could not look after the instances of services; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rolloutSpacing):
		}
	}
}

// rolloutPass looks at every service once, and reports whether there is something to wait for.
func (r *Root) rolloutPass(ctx context.Context) (busy bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, rolloutTimeout)
	defer cancel()
	more, err := r.keepReplicas(ctx)
	if err != nil {
		return true, err
	}
	if more {
		r.wakeRollouts()
	}
	rows, err := r.pool.Query(ctx, `SELECT service_id FROM rollout WHERE state = $1 ORDER BY progressed_at LIMIT 256`, rolloutProgressing)
	if err != nil {
		return true, fmt.Errorf("list rollouts: %w", err)
	}
	services, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return true, fmt.Errorf("list rollouts: %w", err)
	}
	for _, id := range services {
		if err := r.advanceRollout(ctx, id); err != nil {
			return true, err
		}
	}
	return len(services) > 0, nil
}

// advanceRollout takes the next step of a service's rollout, unless another process is at it.
func (r *Root) advanceRollout(ctx context.Context, id string) error {
	return r.placing(ctx, func(tx pgx.Tx) error {
		ro := rollout{service: id}
		var idle float64
		err := tx.QueryRow(ctx, `SELECT revision, previous, state, rolling_back, available,
			extract(epoch FROM clock_timestamp() - progressed_at)::float8
			FROM rollout WHERE service_id = $1 AND state = $2 FOR UPDATE SKIP LOCKED`, id, rolloutProgressing).
			Scan(&ro.revision, &ro.previous, &ro.state, &ro.rollingBack, &ro.available, &idle)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read rollout of service %s: %w", id, err)
		}
		ro.idle = time.Duration(idle * float64(time.Second))
		return r.step(ctx, tx, &ro)
	})
}

// beginRollout has the instances of a service change over to its present descriptor. What was on its way before is overtaken.
func (r *Root) beginRollout(ctx context.Context, tx pgx.Tx, id string, revision, previous int, rollingBack bool, detail string) error {
	_, err := tx.Exec(ctx, `INSERT INTO rollout (service_id, revision, previous, state, detail, rolling_back) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (service_id) DO UPDATE SET revision = excluded.revision, previous = excluded.previous, state = excluded.state,
		detail = excluded.detail, rolling_back = excluded.rolling_back, available = 0, started_at = now(), progressed_at = now(), finished_at = NULL`,
		id, revision, previous, rolloutProgressing, detail, rollingBack)
	if err != nil {
		return fmt.Errorf("begin rollout of service %s: %w", id, err)
	}
	return note(ctx, tx, id, eventRollout, revision, "%s", detail)
}

// endRollout notes that there is nothing left to do for a rollout.
func endRollout(ctx context.Context, tx pgx.Tx, ro *rollout, state rolloutState, kind, detail string) error {
	_, err := tx.Exec(ctx, `UPDATE rollout SET state = $2, detail = $3, finished_at = now() WHERE service_id = $1`, ro.service, state, detail)
	if err != nil {
		return fmt.Errorf("end rollout of service %s: %w", ro.service, err)
	}
	return note(ctx, tx, ro.service, kind, ro.revision, "%s", detail)
}

// strategy is a service's update strategy with its defaults filled in.
type strategy struct {
	recreate       bool
	maxUnavailable int
	deadline       time.Duration
	rollback       bool
}

func strategyOf(m *sla.Microservice) strategy {
	s := strategy{maxUnavailable: 1, deadline: defaultDeadline, rollback: true}
	if u := m.Update; u != nil {
		s.recreate = u.Strategy == sla.UpdateRecreate
		s.maxUnavailable = max(u.MaxUnavailable, 1)
		if u.ProgressDeadlineSeconds > 0 {
			s.deadline = time.Duration(u.ProgressDeadlineSeconds) * time.Second
		}
		s.rollback = u.Rollback == nil || *u.Rollback
	}
	return s
}

// rolloutJSON tells how far the instances of a service are on their way to its present descriptor.
type rolloutJSON struct {
	ServiceID string `json:"service_id"`
	// Revision is that of the present descriptor.
	Revision int `json:"revision"`
	// State is progressing, complete or failed; Detail says why.
	State  rolloutState `json:"state"`
	Detail string       `json:"detail"`
	// RollingBack says that the revision was stored since the one before it failed.
	RollingBack bool `json:"rolling_back"`
	// Replicas is how many instances root keeps; null if it keeps none by itself. Problem says what keeps it from that.
	Replicas *int   `json:"replicas"`
	Problem  string `json:"replicas_problem,omitempty"`
	// Instances is how many there are, Updated how many of them are of this revision, Available how many of all serve.
	Instances        int        `json:"instances"`
	Updated          int        `json:"updated"`
	UpdatedAvailable int        `json:"updated_available"`
	Available        int        `json:"available"`
	StartedAt        *time.Time `json:"started_at"`
	ProgressedAt     *time.Time `json:"progressed_at"`
	FinishedAt       *time.Time `json:"finished_at"`
	// Events are what was decided about the service, oldest first.
	Events []serviceEvent `json:"events"`
}

// serviceEvent is something that was decided about a service.
type serviceEvent struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Revision int       `json:"revision"`
	Detail   string    `json:"detail"`
}

// getRollout tells how the last change of a service stands.
func (r *Root) getRollout(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keyService)
	out := rolloutJSON{ServiceID: id}
	err := r.pool.QueryRow(ctx, `SELECT s.revision, coalesce(ro.state, $2), coalesce(ro.detail, ''), coalesce(ro.rolling_back, false), s.replicas,
		s.replicas_problem, ro.started_at, ro.progressed_at, ro.finished_at,
		(SELECT count(*) FROM instance i WHERE i.service_id = s.id AND deleted_at IS NULL),
		(SELECT count(*) FROM instance i WHERE i.service_id = s.id AND deleted_at IS NULL AND service_revision = s.revision),
		(SELECT count(*) FROM instance i WHERE i.service_id = s.id AND deleted_at IS NULL AND service_revision = s.revision AND `+available+`),
		(SELECT count(*) FROM instance i WHERE i.service_id = s.id AND deleted_at IS NULL AND `+available+`)
		FROM service s LEFT JOIN rollout ro ON ro.service_id = s.id WHERE s.id = $1`, id, rolloutComplete).
		Scan(&out.Revision, &out.State, &out.Detail, &out.RollingBack, &out.Replicas, &out.Problem, &out.StartedAt, &out.ProgressedAt, &out.FinishedAt,
			&out.Instances, &out.Updated, &out.UpdatedAvailable, &out.Available)
	if err != nil {
		return fmt.Errorf("read rollout of service %s: %w", id, err)
	}
	rows, err := r.pool.Query(ctx, `SELECT at, kind, revision, detail FROM service_event WHERE service_id = $1 ORDER BY id`, id)
	if err != nil {
		return fmt.Errorf("list events of service %s: %w", id, err)
	}
	if out.Events, err = pgx.CollectRows(rows, pgx.RowToStructByPos[serviceEvent]); err != nil {
		return fmt.Errorf("list events of service %s: %w", id, err)
	}
	if out.Events == nil {
		out.Events = []serviceEvent{}
	}
	return c.JSON(http.StatusOK, out)
}
