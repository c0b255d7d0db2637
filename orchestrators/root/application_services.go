// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// splitServices tells the ids of services in a list that clients send back from descriptors of services.
func splitServices(list []json.RawMessage) (ids []string, described map[int]json.RawMessage, err error) {
	described = map[int]json.RawMessage{}
	for i, raw := range list {
		var id string
		switch {
		case json.Unmarshal(raw, &id) == nil:
			ids = append(ids, id)
		case bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
			described[i] = raw
		default:
			return nil, nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "wrong_type", "want a service's id, or its descriptor").
				At(fmt.Sprintf("$.microservices[%d]", i))
		}
	}
	return ids, described, nil
}

// changeServices brings the described services of an application to their descriptors, and adds those that are new. Others stay as they
// are. It has to run under the placing lock.
func (r *Root) changeServices(ctx context.Context, tx pgx.Tx, app application, described map[int]json.RawMessage, by users.Principal) error {
	for _, i := range slices.Sorted(maps.Keys(described)) {
		if err := r.changeOne(ctx, tx, app, described[i], by); err != nil {
			return shorten(err, "$", fmt.Sprintf("$.microservices[%d]", i))
		}
	}
	return nil
}

// changeOne changes or adds one service. Paths of faults begin at the service.
func (r *Root) changeOne(ctx context.Context, tx pgx.Tx, app application, raw json.RawMessage, by users.Principal) error {
	var who struct {
		Name      json.RawMessage `json:"microservice_name"`
		Namespace json.RawMessage `json:"microservice_namespace"`
	}
	if err := json.Unmarshal(raw, &who); err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "wrong_type", "is no descriptor of a service").At("$")
	}
	var name, namespace, id string
	_ = json.Unmarshal(who.Name, &name) // what is no text is told by the reader below
	_ = json.Unmarshal(who.Namespace, &namespace)
	err := tx.QueryRow(ctx, `SELECT id FROM service WHERE application_id = $1 AND lower(name) = lower($2) AND lower(namespace) = lower($3) AND deleted_at IS NULL`,
		app.ID, name, namespace).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		m, _, err := r.readMicroservice(raw, &present{appName: app.Name, appNS: app.Namespace})
		if err != nil {
			return err
		}
		if err := mayOwn(by, m, "$"); err != nil {
			return err
		}
		_, err = r.insertServices(ctx, tx, app, []sla.Microservice{*m}, by.Name, "$")
		return shorten(err, "$.microservices[0]", "$")
	}
	if err != nil {
		return fmt.Errorf("look up service: %w", err)
	}
	now, err := loadPresent(ctx, tx, id)
	if err != nil {
		return err
	}
	m, at, err := r.readMicroservice(raw, now)
	if err != nil {
		return err
	}
	if err := mayOwn(by, m, at); err != nil {
		return err
	}
	if err := now.keepsIdentity(ctx, tx, m, at); err != nil {
		return err
	}
	if err := checkSecrets(ctx, tx, app.ID, m, at); err != nil {
		return err
	}
	_, _, err = r.change(ctx, tx, now, m, by.Name, "updated with its application")
	return err
}

// readConstraints checks constraints of an application by themselves.
func (r *Root) readConstraints(app application, raw json.RawMessage) ([]sla.Constraint, error) {
	const inside = "$.applications[0]"
	body := fmt.Appendf(nil, `{"sla_version":%q,"customerID":"","applications":[{"applicationID":"","application_name":%q,"application_namespace":%q,"microservices":[],"constraints":%s}]}`,
		sla.Version, app.Name, app.Namespace, raw)
	d, err := sla.ParseWith(body, sla.Options{Ranges: r.ranges})
	if err != nil {
		return nil, shorten(descriptorProblem(err), inside, "$")
	}
	list := d.Applications[0].Constraints
	if list == nil {
		list = []sla.Constraint{}
	}
	return list, nil
}

// constrain stores what holds for all services of an application. Instances that are where they may not be any more move, as their
// services' update strategies say.
func (r *Root) constrain(ctx context.Context, tx pgx.Tx, app application, list []sla.Constraint, services []string, by string) error {
	same, err := equalConstraints(app.Constraints, list)
	if err != nil || same {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE application SET constraints = $2 WHERE id = $1`, app.ID, list); err != nil {
		return fmt.Errorf("store constraints of application %s: %w", app.ID, err)
	}
	for _, id := range slices.Sorted(slices.Values(services)) {
		now, err := loadPresent(ctx, tx, id)
		if err != nil {
			return err
		}
		const cause = "the application's constraints have changed"
		revision, err := storeRevision(ctx, tx, id, &now.service, by, cause)
		if err != nil {
			return err
		}
		if err := r.beginRollout(ctx, tx, id, revision, now.revision, false, cause); err != nil {
			return err
		}
	}
	return nil
}

func equalConstraints(a, b []sla.Constraint) (bool, error) {
	if len(a) == 0 && len(b) == 0 {
		return true, nil
	}
	x, err := json.Marshal(a)
	if err != nil {
		return false, fmt.Errorf("encode constraints: %w", err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("encode constraints: %w", err)
	}
	return bytes.Equal(x, y), nil
}
