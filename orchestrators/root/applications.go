// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// applicationJSON is an application as clients know it.
type applicationJSON struct {
	OID            oid      `json:"_id"`
	ID             string   `json:"applicationID"`
	Name           string   `json:"application_name"`
	Namespace      string   `json:"application_namespace"`
	Description    string   `json:"application_desc"`
	UserID         string   `json:"userId"`
	OrganizationID string   `json:"organization_id"`
	Microservices  []string `json:"microservices"`
	// Constraints hold for all its services, beside their own.
	Constraints []sla.Constraint `json:"constraints"`

	created time.Time
}

// readDescriptor parses a request's body as a descriptor.
func (r *Root) readDescriptor(c echo.Context) (*sla.Descriptor, error) {
	body, err := httpapi.Body(c)
	if err != nil {
		return nil, err
	}
	d, err := sla.ParseWith(body, sla.Options{Ranges: r.ranges})
	if err != nil {
		return nil, descriptorProblem(err)
	}
	return d, mayOwnAll(principal(c), d)
}

// createApplications registers all applications of a descriptor with their services, or none. It deploys nothing. The
// answer is the list of the user's applications.
func (r *Root) createApplications(c echo.Context) error {
	ctx, p := c.Request().Context(), principal(c)
	d, err := r.readDescriptor(c)
	if err != nil {
		return err
	}
	if err := r.heard(ctx); err != nil {
		return err
	}
	var list []applicationJSON
	err = store.InTx(ctx, r.pool, func(tx pgx.Tx) (err error) {
		for i := range d.Applications {
			path := fmt.Sprintf("$.applications[%d]", i)
			if err := r.insertApplication(ctx, tx, p, &d.Applications[i], path); err != nil {
				return err
			}
		}
		if list, err = queryApplications(ctx, tx, p, httpapi.Page{}, `a.owner_id = $5`, p.ID); err != nil {
			return err
		}
		return r.keepAnswer(c, tx, list)
	})
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return c.JSON(http.StatusOK, list)
}

func (r *Root) insertApplication(ctx context.Context, tx pgx.Tx, p users.Principal, a *sla.Application, path string) error {
	app := application{ID: pki.NewID(), Name: a.Name, Namespace: a.Namespace, Organization: p.OrganizationID}
	_, err := tx.Exec(ctx, `INSERT INTO application (id, organization_id, owner_id, owner_name, name, namespace, description, constraints)
		VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::jsonb, '[]'))`, app.ID, app.Organization, p.ID, p.Name, a.Name, a.Namespace, a.Description, a.Constraints)
	if store.IsUniqueViolation(err, "application_name") {
		return httpapi.NewProblem(http.StatusConflict, "application_exists",
			"An application with the same name and namespace exists already: %s.%s", a.Name, a.Namespace).At(path)
	}
	if err != nil {
		return fmt.Errorf("store application %s.%s: %w", a.Name, a.Namespace, err)
	}
	_, err = r.insertServices(ctx, tx, app, a.Microservices, p.Name, path)
	return err
}

func (r *Root) getApplication(c echo.Context) error {
	list, err := queryApplications(c.Request().Context(), r.pool, principal(c), httpapi.Page{}, `a.id = $5`, named(c, keyApp))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return notFound("application", c.Param("application"))
	}
	return httpapi.Tagged(c, list[0])
}

// listApplications lists all that the user may see.
func (r *Root) listApplications(c echo.Context) error { return r.applications(c, `true`) }

// listApplicationsOf takes a user's name or id. Namesakes in other organisations see nothing of one another.
func (r *Root) listApplicationsOf(c echo.Context) error {
	p := principal(c)
	if isOwn(p, c.Param("name")) {
		return r.applications(c, `a.owner_id = $5`, p.ID)
	}
	if !p.IsAdmin() { // administrators may ask for those of a user who is gone
		if _, err := r.subject(c); err != nil {
			return err
		}
	}
	return r.applications(c, `(a.owner_id = $5 OR lower(a.owner_name) = lower($5))`, c.Param("name"))
}

func (r *Root) applications(c echo.Context, where string, args ...any) error {
	page, err := timedPage(httpapi.PageOf(c, 2))
	if err != nil {
		return err
	}
	list, err := queryApplications(c.Request().Context(), r.pool, principal(c), page, where, args...)
	if err != nil {
		return err
	}
	list = httpapi.Cut(c, page, list, func(a applicationJSON) []string { return []string{a.created.UTC().Format(sortableTime), a.ID} })
	return c.JSON(http.StatusOK, list)
}

// queryApplications reads applications that a user may see, on a page one more than it holds; where is one of this file's own conditions,
// never a user's.
func queryApplications(ctx context.Context, q querier, p users.Principal, page httpapi.Page, where string, args ...any) ([]applicationJSON, error) {
	args = scope(p, args...)
	paged, args := onPage(page, "a.created_at", "a.id", args)
	rows, err := q.Query(ctx, `SELECT a.id, a.name, a.namespace, a.description, a.owner_name, a.organization_id,
		ARRAY(SELECT s.id FROM service s WHERE s.application_id = a.id AND s.deleted_at IS NULL ORDER BY s.created_at, s.id), a.constraints, a.created_at
		FROM application a WHERE a.deleted_at IS NULL AND `+visible+` AND `+where+paged, args...)
	if err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a applicationJSON, err error) {
		err = row.Scan(&a.ID, &a.Name, &a.Namespace, &a.Description, &a.UserID, &a.OrganizationID, &a.Microservices, &a.Constraints, &a.created)
		a.OID = oid(a.ID)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	if list == nil {
		list = []applicationJSON{}
	}
	return list, nil
}

// deleteApplication hides an application and its services at once; the rows go when the last instance is gone.
func (r *Root) deleteApplication(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keyApp)
	err := r.placing(ctx, func(tx pgx.Tx) error {
		// First, so that whoever is adding a service is waited for, and finds no application afterwards.
		if _, err := tx.Exec(ctx, `UPDATE application SET deleted_at = now() WHERE id = $1`, id); err != nil {
			return fmt.Errorf("delete application %s: %w", id, err)
		}
		rows, err := tx.Query(ctx, `SELECT id FROM service WHERE application_id = $1 AND deleted_at IS NULL ORDER BY id`, id)
		if err != nil {
			return fmt.Errorf("list services of application %s: %w", id, err)
		}
		services, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("list services of application %s: %w", id, err)
		}
		for _, s := range services {
			if err := r.removeService(ctx, tx, s); err != nil {
				return err
			}
		}
		return r.reapApplication(ctx, tx, id)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, message("Application deleted"))
}
