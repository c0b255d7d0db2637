// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// maxInstances bounds the instances of one service, those that are being undeployed included: a worker's table of routes
// holds as many.
const maxInstances = 1024

// allInstances stands for every instance of a service in the path of a request to undeploy.
const allInstances = -1

// createdInstance tells of an instance that was added.
type createdInstance struct {
	Message string     `json:"message"`
	Number  int        `json:"instance_number"`
	Status  wire.State `json:"status"`
	Detail  string     `json:"status_detail"`
}

// createInstance adds an instance to a service and gives it to a cluster at once if one can take it. If none can, the
// instance exists all the same, says why, and gets its place as soon as there is one.
func (r *Root) createInstance(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keyService)
	if err := r.heard(ctx); err != nil {
		return err
	}
	var result createdInstance
	err := r.placing(ctx, func(tx pgx.Tx) error {
		number, err := r.insertInstance(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := shiftReplicas(ctx, tx, id, 1); err != nil {
			return err
		}
		inst, err := loadInstance(ctx, tx, wire.InstanceKey{ServiceID: id, Number: number})
		if err != nil {
			return err
		}
		view, err := r.loadClusters(ctx, tx)
		if err != nil {
			return err
		}
		if err := r.place(ctx, tx, inst, view); err != nil {
			return err
		}
		result = createdInstance{"ok", number, inst.state, inst.detail}
		return r.keepAnswer(c, tx, result)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, result)
}

// insertInstance stores a new instance with its addresses and returns its number, which no other instance of the service
// has had.
func (r *Root) insertInstance(ctx context.Context, tx pgx.Tx, serviceID string) (number int, err error) {
	numbers, err := r.insertInstances(ctx, tx, serviceID, 1)
	if err != nil {
		return 0, err
	}
	return numbers[0], nil
}

// deleteInstances undeploys one instance, or all with number -1. It is gone once its cluster has confirmed that.
func (r *Root) deleteInstances(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keyService)
	number, err := strconv.Atoi(c.Param("number"))
	if err != nil || number < allInstances || number > math.MaxInt32 {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_number", "the instance's number must be 0 or more, or -1 for all")
	}
	err = r.placing(ctx, func(tx pgx.Tx) error {
		var numbers []int // none stands for all
		if number != allInstances {
			numbers = []int{number}
		}
		n, err := r.removeInstances(ctx, tx, id, numbers)
		if err == nil && n == 0 && number != allInstances {
			return notFound("instance", fmt.Sprintf("%d of service %s", number, id))
		}
		if err != nil {
			return err
		}
		return shiftReplicas(ctx, tx, id, -n)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, message("ok"))
}

// removeInstances decides that the instances of these numbers, or all, of a service are to stop, and returns how many that concerns. It has
// to run under the placing lock.
func (r *Root) removeInstances(ctx context.Context, tx pgx.Tx, serviceID string, numbers []int) (int, error) {
	rows, err := tx.Query(ctx, `UPDATE instance SET deleted_at = now()
		WHERE service_id = $1 AND ($2::int[] IS NULL OR number = ANY ($2)) AND deleted_at IS NULL
		RETURNING number, coalesce(cluster_id, ''), placement`, serviceID, numbers)
	if err != nil {
		return 0, fmt.Errorf("undeploy instances of service %s: %w", serviceID, err)
	}
	var keys []wire.InstanceKey
	var graves []grave
	one := grave{InstanceKey: wire.InstanceKey{ServiceID: serviceID}}
	_, err = pgx.ForEachRow(rows, []any{&one.Number, &one.cluster, &one.placement}, func() error {
		keys = append(keys, one.InstanceKey)
		if one.cluster != "" {
			graves = append(graves, one)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("undeploy instances of service %s: %w", serviceID, err)
	}
	if err := buryAll(ctx, tx, graves); err != nil {
		return 0, err
	}
	if err := buryDeleted(ctx, tx, serviceID); err != nil {
		return 0, err
	}
	return len(keys), r.reapInstances(ctx, tx, keys)
}
