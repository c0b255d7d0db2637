// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// maxDescription bounds an application's description, in bytes, as a descriptor's.
const maxDescription = 4096

// applicationChange is what becomes of an application; nil leaves something as it is.
type applicationChange struct {
	Name        *string `json:"application_name"`
	Namespace   *string `json:"application_namespace"`
	Description *string `json:"application_desc"`
	// Constraints replace those that hold for all services.
	Constraints json.RawMessage `json:"constraints,omitempty"`
	// Services are ids, or descriptors of services that are to change or to be added.
	Services *[]json.RawMessage `json:"microservices"`
	sentBack
}

// updateApplication changes what the body names of an application: its description, and while it has no services, whose names are made of
// them, its own name and namespace; and its constraints and services. Clients send services back as they got them, by their ids: those stay. A
// service that is there as a descriptor changes over to that, or is added. None goes because it is not named, unless ids alone are.
func (r *Root) updateApplication(c echo.Context) error {
	var body applicationChange
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	for path, name := range map[string]*string{"$.application_name": body.Name, "$.application_namespace": body.Namespace} {
		if name != nil && !semantic.ValidName(*name) {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "must match %s: 1 to 30 letters and digits", semantic.NamePattern).At(path)
		}
	}
	if body.Description != nil && (len(*body.Description) > maxDescription || strings.ContainsRune(*body.Description, 0)) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_description", "must have at most %d bytes, and no NUL", maxDescription).
			At("$.application_desc")
	}
	var ids []string
	var described map[int]json.RawMessage
	if body.Services != nil {
		if err := r.heard(c.Request().Context()); err != nil {
			return err
		}
		var err error
		if ids, described, err = splitServices(*body.Services); err != nil {
			return err
		}
	}
	ctx, id := c.Request().Context(), named(c, keyApp)
	err := r.placing(ctx, func(tx pgx.Tx) error {
		app := application{ID: id}
		err := tx.QueryRow(ctx, `SELECT name, namespace, organization_id, constraints FROM application WHERE id = $1 AND deleted_at IS NULL FOR UPDATE`, id).
			Scan(&app.Name, &app.Namespace, &app.Organization, &app.Constraints)
		if errors.Is(err, pgx.ErrNoRows) {
			return notFound("application", id)
		}
		if err != nil {
			return err
		}
		if now, err := queryApplications(ctx, tx, principal(c), httpapi.Page{}, `a.id = $5`, id); err != nil {
			return err
		} else if len(now) == 1 {
			if err := httpapi.IfMatch(c, now[0]); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, `SELECT id FROM service WHERE application_id = $1 AND deleted_at IS NULL`, id)
		if err != nil {
			return err
		}
		services, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		unknown := slices.ContainsFunc(ids, func(s string) bool { return !slices.Contains(services, s) })
		if body.Services != nil && (unknown || len(described) == 0 && !sameSet(ids, services)) {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "services_differ",
				"must be the ids of the application's services as they are, or descriptors of what is to change: delete services by /api/service").At("$.microservices")
		}
		renamed := body.Name != nil && *body.Name != app.Name || body.Namespace != nil && *body.Namespace != app.Namespace
		if renamed && len(services)+len(described) > 0 {
			return conflict("application_in_use", "the names of the application's %d services are made of its name and namespace: delete them first", len(services))
		}
		if len(body.Constraints) > 0 && string(body.Constraints) != "null" {
			list, err := r.readConstraints(app, body.Constraints)
			if err != nil {
				return err
			}
			if err := r.constrain(ctx, tx, app, list, services, principal(c).Name); err != nil {
				return err
			}
		}
		if err := r.changeServices(ctx, tx, app, described, principal(c)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE application SET name = coalesce($2, name), namespace = coalesce($3, namespace),
			description = coalesce($4, description) WHERE id = $1`, id, body.Name, body.Namespace, body.Description)
		return err
	})
	if store.IsUniqueViolation(err, "application_name") {
		return conflict("application_exists", "An application with the same name and namespace exists already")
	}
	if err != nil {
		return fmt.Errorf("change application %s: %w", id, err)
	}
	r.wakeRollouts()
	return c.JSON(http.StatusOK, message("Application is updated"))
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
