// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
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
	var app application
	var doc []byte
	var revision int
	err = tx.QueryRow(ctx, `UPDATE service s SET next_number = next_number + 1 FROM application a
		WHERE s.id = $1 AND s.deleted_at IS NULL AND a.id = s.application_id
		RETURNING s.next_number - 1, s.descriptor, s.revision, a.id, a.name, a.namespace, a.organization_id, a.constraints`, serviceID).
		Scan(&number, &doc, &revision, &app.ID, &app.Name, &app.Namespace, &app.Organization, &app.Constraints)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, notFound("service", serviceID)
	}
	if err != nil {
		return 0, fmt.Errorf("number instance of service %s: %w", serviceID, err)
	}
	var count int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM instance WHERE service_id = $1`, serviceID).Scan(&count); err != nil {
		return 0, fmt.Errorf("count instances of service %s: %w", serviceID, err)
	}
	if count >= maxInstances {
		return 0, conflict("too_many_instances", "a service has at most %d instances: remove one, or register a second service", maxInstances)
	}
	spec, err := r.newSpec(ctx, tx, serviceID, number, app, doc, revision)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO instance (service_id, number, spec, state, detail, service_revision) VALUES ($1, $2, $3, $4, $5, $6)`,
		serviceID, number, spec, wire.StateRequested, "root is choosing a cluster", revision)
	if err != nil {
		return 0, fmt.Errorf("store instance %d of service %s: %w", number, serviceID, err)
	}
	return number, nil
}

func (r *Root) newSpec(ctx context.Context, tx pgx.Tx, serviceID string, number int, app application, doc []byte, revision int) ([]byte, error) {
	var m sla.Microservice
	if err := json.Unmarshal(doc, &m); err != nil {
		return nil, fmt.Errorf("read descriptor of service %s: %w", serviceID, err)
	}
	addrs, err := queryAddresses(ctx, tx, []string{serviceID})
	if err != nil {
		return nil, err
	}
	spec, err := specOf(app, &m, addrs[serviceID])
	if err != nil {
		return nil, err
	}
	spec.Revision = revision
	if err := resolveSecrets(ctx, tx, app.Organization, &m, &spec); err != nil {
		return nil, err
	}
	owner := addresses.Owner{Organization: app.Organization, ServiceID: serviceID, Number: &number}
	if spec.InstanceIP, err = addresses.Take(ctx, tx, r.ranges, wire.PolicyInstance, false, owner); err != nil {
		return nil, addressProblem(err, "")
	}
	if spec.InstanceIPv6, err = addresses.Take(ctx, tx, r.ranges, wire.PolicyInstance, true, owner); err != nil {
		return nil, addressProblem(err, "")
	}
	return json.Marshal(spec)
}

// deleteInstances undeploys one instance, or all with number -1. It is gone once its cluster has confirmed that.
func (r *Root) deleteInstances(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keyService)
	number, err := strconv.Atoi(c.Param("number"))
	if err != nil || number < allInstances || number > math.MaxInt32 {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_number", "the instance's number must be 0 or more, or -1 for all")
	}
	err = r.placing(ctx, func(tx pgx.Tx) error {
		n, err := r.removeInstances(ctx, tx, id, number)
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

// removeInstances decides that one instance, or all, of a service are to stop, and returns how many that concerns. It has to
// run under the placing lock.
func (r *Root) removeInstances(ctx context.Context, tx pgx.Tx, serviceID string, number int) (int, error) {
	rows, err := tx.Query(ctx, `UPDATE instance SET deleted_at = now()
		WHERE service_id = $1 AND ($2 = -1 OR number = $2) AND deleted_at IS NULL
		RETURNING number, coalesce(cluster_id, ''), placement`, serviceID, number)
	if err != nil {
		return 0, fmt.Errorf("undeploy instances of service %s: %w", serviceID, err)
	}
	type removed struct {
		Number    int
		Cluster   string
		Placement int64
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[removed])
	if err != nil {
		return 0, fmt.Errorf("undeploy instances of service %s: %w", serviceID, err)
	}
	for _, i := range list {
		key := wire.InstanceKey{ServiceID: serviceID, Number: i.Number}
		if i.Cluster != "" {
			if err := bury(ctx, tx, i.Cluster, key, i.Placement); err != nil {
				return 0, err
			}
		}
		if err := buryDeleted(ctx, tx, key); err != nil {
			return 0, err
		}
		if err := r.reapInstance(ctx, tx, key); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}
