// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

const (
	// replicaBatch bounds the instances that one transaction adds or removes.
	replicaBatch = 256
	// replicaRetry is how long a service waits whose instances could not be added, such as for want of addresses.
	replicaRetry = 10 * time.Second
)

// scaleBody is the wanted number of instances.
type scaleBody struct {
	Replicas *int `json:"replicas"`
}

// scaledJSON tells what is wanted since.
type scaledJSON struct {
	Message  string `json:"message"`
	Replicas int    `json:"replicas"`
	// Instances is how many there are now; those that are too many or too few go or come at once.
	Instances int `json:"instances"`
}

// scaleService sets how many instances root keeps of a service.
func (r *Root) scaleService(c echo.Context) error {
	var body scaleBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	switch {
	case body.Replicas == nil:
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_replicas", "is missing: how many instances to keep").At("$.replicas")
	case *body.Replicas < 0 || *body.Replicas > sla.MaxReplicas:
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_replicas", "is %d, has to be from 0 to %d", *body.Replicas, sla.MaxReplicas).
			At("$.replicas")
	}
	ctx, id := c.Request().Context(), named(c, keyService)
	answer := scaledJSON{Message: "ok", Replicas: *body.Replicas}
	err := r.placing(ctx, func(tx pgx.Tx) error {
		if err := setReplicas(ctx, tx, id, *body.Replicas); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM instance WHERE service_id = $1 AND deleted_at IS NULL`, id).Scan(&answer.Instances)
	})
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return c.JSON(http.StatusOK, answer)
}

// setReplicas notes how many instances root keeps of a service from now on, in its present descriptor too.
func setReplicas(ctx context.Context, tx pgx.Tx, id string, n int) error {
	var before *int
	var revision int
	err := tx.QueryRow(ctx, `SELECT replicas, revision FROM service WHERE id = $1 AND deleted_at IS NULL FOR UPDATE`, id).Scan(&before, &revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("service", id)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE service SET replicas = $2, replicas_problem = '', replicas_retry = now() WHERE id = $1`, id, n)
	}
	if err != nil {
		return fmt.Errorf("scale service %s: %w", id, err)
	}
	if before != nil && *before == n {
		return nil
	}
	return note(ctx, tx, id, eventScaled, revision, "%d instances are kept", n)
}

// shiftReplicas follows an instance that a user added or removed by himself, where root keeps a number of them.
func shiftReplicas(ctx context.Context, tx pgx.Tx, id string, by int) error {
	_, err := tx.Exec(ctx, `UPDATE service SET replicas = greatest(least(replicas + $2, $3), 0) WHERE id = $1 AND replicas IS NOT NULL`,
		id, by, sla.MaxReplicas)
	if err != nil {
		return fmt.Errorf("scale service %s: %w", id, err)
	}
	return nil
}

// surplus is how many instances a service s has more than root keeps; less than 0 for too few.
const surplus = `((SELECT count(*) FROM instance i WHERE i.service_id = s.id AND i.deleted_at IS NULL) - s.replicas)`

// keepReplicas adds and removes instances until each service has as many as it is to have, one batch a service and pass. It reports
// whether there is more to do.
func (r *Root) keepReplicas(ctx context.Context) (more bool, err error) {
	if err := r.heard(ctx); err != nil {
		return false, err
	}
	rows, err := r.pool.Query(ctx, `SELECT s.id FROM service s WHERE s.replicas IS NOT NULL AND s.deleted_at IS NULL AND s.replicas_retry <= now()
		AND `+surplus+` <> 0 ORDER BY s.replicas_retry, s.id LIMIT 256`)
	if err != nil {
		return false, fmt.Errorf("look for missing instances: %w", err)
	}
	services, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, fmt.Errorf("look for missing instances: %w", err)
	}
	for _, id := range services {
		left, err := r.keepService(ctx, id)
		var refused *httpapi.Problem
		if errors.As(err, &refused) {
			// Of this service alone: others may have what it lacks.
			r.log.Warn("cannot keep the number of instances that a service is to have; trying again", "service", id, "error", err)
			_, err = r.pool.Exec(ctx, `UPDATE service SET replicas_problem = $2, replicas_retry = now() + $3::interval WHERE id = $1`,
				id, refused.Detail, replicaRetry)
		}
		if err != nil {
			return false, err
		}
		more = more || left
	}
	return more, nil
}

// keepService adds or removes at most one batch of instances.
func (r *Root) keepService(ctx context.Context, id string) (more bool, err error) {
	err = r.placing(ctx, func(tx pgx.Tx) error {
		var excess int
		err := tx.QueryRow(ctx, `SELECT `+surplus+` FROM service s WHERE id = $1 AND replicas IS NOT NULL AND deleted_at IS NULL`, id).Scan(&excess)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("count instances of service %s: %w", id, err)
		}
		more = max(excess, -excess) > replicaBatch
		if n := min(-excess, replicaBatch); n > 0 {
			if err := r.addInstances(ctx, tx, id, n); err != nil {
				return err
			}
		}
		if excess <= 0 {
			_, err = tx.Exec(ctx, `UPDATE service SET replicas_problem = '' WHERE id = $1 AND replicas_problem <> ''`, id)
			return err
		}
		return r.removeExcess(ctx, tx, id, min(excess, replicaBatch))
	})
	return more, err
}

// addInstances adds n instances to a service and gives them to clusters, as far as these have room.
func (r *Root) addInstances(ctx context.Context, tx pgx.Tx, id string, n int) error {
	numbers, err := r.insertInstances(ctx, tx, id, n)
	if err != nil {
		return err
	}
	keys := make([]wire.InstanceKey, len(numbers))
	for k, number := range numbers {
		keys[k] = wire.InstanceKey{ServiceID: id, Number: number}
	}
	list, err := loadInstances(ctx, tx, keys)
	if err != nil {
		return err
	}
	view, err := r.loadClusters(ctx, tx)
	if err != nil {
		return err
	}
	return r.placeAll(ctx, tx, list, view)
}

// removeExcess undeploys n instances: such as serve nobody first, then those of the highest numbers.
func (r *Root) removeExcess(ctx context.Context, tx pgx.Tx, id string, n int) error {
	rows, err := tx.Query(ctx, `SELECT number FROM instance WHERE service_id = $1 AND deleted_at IS NULL
		ORDER BY `+available+`, number DESC LIMIT $2`, id, n)
	if err != nil {
		return fmt.Errorf("choose instances of service %s: %w", id, err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("choose instances of service %s: %w", id, err)
	}
	_, err = r.removeInstances(ctx, tx, id, numbers)
	return err
}
