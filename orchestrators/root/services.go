// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// application is what a service has to know of its application.
type application struct {
	ID, Name, Namespace, Organization string
	// Constraints hold for all its services.
	Constraints []sla.Constraint
}

// maxServices bounds the services of one application.
const maxServices = 1024

// servicePolicies are the policies that a service has addresses of, one a family.
var servicePolicies = [...]wire.Policy{wire.PolicyRoundRobin, wire.PolicyClosest, wire.PolicyUnderutilized}

// insertServices stores services with their addresses: first those that the services ask for, then free ones for the other
// policies, so that none of the free ones is what a later service asks for. It returns their ids.
func (r *Root) insertServices(ctx context.Context, tx pgx.Tx, app application, list []sla.Microservice, by, path string) ([]string, error) {
	ids := make([]string, 0, len(list))
	have := make([]map[slot]bool, len(list))
	for i := range list {
		at := fmt.Sprintf("%s.microservices[%d]", path, i)
		if err := checkSecrets(ctx, tx, app.ID, &list[i], at); err != nil {
			return nil, err
		}
		id, err := insertService(ctx, tx, app, &list[i], by, at)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
		owner := addresses.Owner{Organization: app.Organization, ServiceID: id}
		if have[i], err = r.takeNamed(ctx, tx, owner, &list[i], at); err != nil {
			return nil, err
		}
	}
	for i, id := range ids {
		if err := r.takeOthers(ctx, tx, addresses.Owner{Organization: app.Organization, ServiceID: id}, have[i]); err != nil {
			return nil, err
		}
	}
	var count int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM service WHERE application_id = $1`, app.ID).Scan(&count); err != nil {
		return nil, fmt.Errorf("count services: %w", err)
	}
	if count > maxServices {
		return nil, conflict("too_many_services", "an application has at most %d services", maxServices)
	}
	return ids, nil
}

func insertService(ctx context.Context, tx pgx.Tx, app application, m *sla.Microservice, by, path string) (id string, err error) {
	id = pki.NewID()
	m.ID = id
	doc, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode service %s: %w", m.Name, err)
	}
	job := semantic.JobName(app.Name, app.Namespace, m.Name, m.Namespace)
	_, err = tx.Exec(ctx, `INSERT INTO service (id, application_id, name, namespace, job_name, descriptor, replicas) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, app.ID, m.Name, m.Namespace, job, doc, m.Replicas)
	if store.IsUniqueViolation(err, "service_name") {
		return "", httpapi.NewProblem(http.StatusConflict, "service_exists",
			"the application has a service %s.%s already (names differ by more than case)", m.Name, m.Namespace).At(path)
	}
	if err != nil {
		return "", fmt.Errorf("store service %s: %w", job, err)
	}
	return id, insertRevision(ctx, tx, id, 1, doc, by, "created")
}

// slot is one of a service's addresses.
type slot struct {
	policy wire.Policy
	v6     bool
}

func (r *Root) takeNamed(ctx context.Context, tx pgx.Tx, owner addresses.Owner, m *sla.Microservice, path string) (map[slot]bool, error) {
	have := map[slot]bool{}
	for _, want := range m.Requested() {
		if err := addresses.TakeNamed(ctx, tx, r.ranges, want, owner); err != nil {
			return nil, addressProblem(err, path+".addresses."+addressKey(want))
		}
		have[slot{want.Policy, want.Address.Is6()}] = true
	}
	return have, nil
}

func (r *Root) takeOthers(ctx context.Context, tx pgx.Tx, owner addresses.Owner, have map[slot]bool) error {
	for _, policy := range servicePolicies {
		for _, v6 := range []bool{false, true} {
			if have[slot{policy, v6}] {
				continue
			}
			if _, err := addresses.Take(ctx, tx, r.ranges, policy, v6, owner); err != nil {
				return addressProblem(err, "")
			}
		}
	}
	return nil
}

// addressKey is the descriptor's key of a service address.
func addressKey(a wire.ServiceAddress) string {
	key := string(a.Policy) + "_ip"
	if a.Address.Is6() {
		key += "_v6"
	}
	return key
}

// createdServices tells the ids of services that were added. All are, or none.
type createdServices struct {
	First  string   `json:"job_id"`
	All    []string `json:"deployed_services"`
	Failed []string `json:"failed_services"`
}

// createServices adds the services of applications[0] to the application whose id it names.
func (r *Root) createServices(c echo.Context) error {
	ctx, p := c.Request().Context(), principal(c)
	d, err := r.readDescriptor(c)
	if err != nil {
		return err
	}
	if len(d.Applications) != 1 || d.Applications[0].ApplicationID == "" || len(d.Applications[0].Microservices) == 0 {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_descriptor",
			"must be one application with the applicationID of an existing one and at least one microservice").At("$.applications")
	}
	if err := r.heard(ctx); err != nil {
		return err
	}
	a := &d.Applications[0]
	var ids []string
	err = store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		app := application{ID: a.ApplicationID}
		err := tx.QueryRow(ctx, `SELECT a.name, a.namespace, a.organization_id FROM application a
			WHERE a.id = $5 AND a.deleted_at IS NULL AND `+visible+` FOR UPDATE`, scope(p, a.ApplicationID)...).
			Scan(&app.Name, &app.Namespace, &app.Organization)
		if errors.Is(err, pgx.ErrNoRows) {
			return notFound("application", a.ApplicationID)
		}
		if err != nil {
			return fmt.Errorf("look up application: %w", err)
		}
		ids, err = r.insertServices(ctx, tx, app, a.Microservices, p.Name, "$.applications[0]")
		if err != nil {
			return err
		}
		return r.keepAnswer(c, tx, createdServices{ids[0], ids, []string{}})
	})
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return c.JSON(http.StatusOK, createdServices{ids[0], ids, []string{}})
}

// deleteService hides a service at once; the row goes when the last instance is gone.
func (r *Root) deleteService(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keyService)
	err := r.placing(ctx, func(tx pgx.Tx) error { return r.removeService(ctx, tx, id) })
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, message("Job deleted"))
}

// removeService has to run under the placing lock.
func (r *Root) removeService(ctx context.Context, tx pgx.Tx, id string) error {
	if _, err := tx.Exec(ctx, `UPDATE service SET deleted_at = now() WHERE id = $1`, id); err != nil {
		return fmt.Errorf("delete service %s: %w", id, err)
	}
	if _, err := r.removeInstances(ctx, tx, id, nil); err != nil {
		return err
	}
	return r.reapService(ctx, tx, id)
}
