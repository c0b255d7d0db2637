// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// updatedService tells what became of a change.
type updatedService struct {
	Message string `json:"message"`
	// Revision is that of the present descriptor.
	Revision int `json:"revision"`
	// Changed is false if the descriptor was so already.
	Changed bool `json:"changed"`
}

// updateService takes a new descriptor of a service: the microservice by itself, or a whole descriptor of one application with one
// microservice. What a client got from GET may be sent back: what only the server knows in it is left out.
func (r *Root) updateService(c echo.Context) error {
	body, err := httpapi.Body(c)
	if err != nil {
		return err
	}
	ctx, id := c.Request().Context(), named(c, keyService)
	answer := updatedService{Message: "ok"}
	err = r.placing(ctx, func(tx pgx.Tx) error {
		now, err := loadPresent(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := httpapi.IfMatch(c, serviceTag{id, now.revision, now.replicas}); err != nil {
			return err
		}
		m, at, err := r.readMicroservice(body, now)
		if err != nil {
			return err
		}
		if err := mayOwn(principal(c), m, at); err != nil {
			return err
		}
		if err := now.keepsIdentity(ctx, tx, m, at); err != nil {
			return err
		}
		if err := checkSecrets(ctx, tx, now.application, m, at); err != nil {
			return err
		}
		answer.Revision, answer.Changed, err = r.change(ctx, tx, now, m, principal(c).Name, "updated")
		return err
	})
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return c.JSON(http.StatusOK, answer)
}

type rollbackBody struct {
	// Revision is the one to go back to; 0 for the one before the present one.
	Revision int `json:"revision"`
}

// rollbackService stores an earlier descriptor of a service as its newest.
func (r *Root) rollbackService(c echo.Context) error {
	var in rollbackBody
	if c.Request().ContentLength != 0 {
		if err := httpapi.Decode(c, &in); err != nil {
			return err
		}
	}
	ctx, id := c.Request().Context(), named(c, keyService)
	answer := updatedService{Message: "ok"}
	err := r.placing(ctx, func(tx pgx.Tx) error {
		now, err := loadPresent(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := httpapi.IfMatch(c, serviceTag{id, now.revision, now.replicas}); err != nil {
			return err
		}
		to := in.Revision
		switch {
		case to < 0 || to == now.revision:
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_revision", "is %d, has to be an earlier one than the present %d", to, now.revision).
				At("$.revision")
		case to == 0 && now.revision == 1:
			return conflict("no_revision", "the service has had no other descriptor than the present one")
		case to == 0:
			to = now.revision - 1
		}
		m, err := readRevision(ctx, tx, id, to)
		if err != nil {
			return err
		}
		if err := mayOwn(principal(c), m, "$"); err != nil {
			return err
		}
		m.Replicas = nil // scaling is not taken back
		answer.Revision, answer.Changed, err = r.change(ctx, tx, now, m, principal(c).Name, fmt.Sprintf("back to revision %d", to))
		return err
	})
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return c.JSON(http.StatusOK, answer)
}

// serviceTag is what the entity tag of a service is made of: what its users change of it. What runs changes by itself.
type serviceTag struct {
	ID       string
	Revision int
	Replicas *int
}

// present is a service as it is before a change.
type present struct {
	id, name, namespace, application, appName, appNS string
	revision                                         int
	replicas                                         *int
	service                                          sla.Microservice
}

func loadPresent(ctx context.Context, tx pgx.Tx, id string) (*present, error) {
	p := &present{id: id}
	var doc []byte
	err := tx.QueryRow(ctx, `SELECT s.name, s.namespace, a.id, a.name, a.namespace, s.revision, s.replicas, s.descriptor
		FROM service s JOIN application a ON a.id = s.application_id WHERE s.id = $1 AND s.deleted_at IS NULL FOR UPDATE OF s`, id).
		Scan(&p.name, &p.namespace, &p.application, &p.appName, &p.appNS, &p.revision, &p.replicas, &doc)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, notFound("service", id)
	}
	if err != nil {
		return nil, fmt.Errorf("read service %s: %w", id, err)
	}
	if err := json.Unmarshal(doc, &p.service); err != nil {
		return nil, fmt.Errorf("read descriptor of service %s: %w", id, err)
	}
	return p, nil
}

// change stores a descriptor, scales if it names a number, and begins the rollout. A descriptor that says what the present one says
// changes nothing.
func (r *Root) change(ctx context.Context, tx pgx.Tx, now *present, m *sla.Microservice, by, cause string) (revision int, changed bool, err error) {
	m.ID = now.id
	if m.Replicas != nil && (now.replicas == nil || *m.Replicas != *now.replicas) {
		if err := setReplicas(ctx, tx, now.id, *m.Replicas); err != nil {
			return 0, false, err
		}
		changed = true
	}
	// How many are kept is no matter of revisions, so that going back does not scale.
	m.Replicas, now.service.Replicas = nil, nil
	same, err := equalDescriptors(m, &now.service)
	if err != nil || same {
		return now.revision, changed, err
	}
	revision, err = storeRevision(ctx, tx, now.id, m, by, cause)
	if err != nil {
		return 0, false, err
	}
	return revision, true, r.beginRollout(ctx, tx, now.id, revision, now.revision, false, fmt.Sprintf("from revision %d to %d: %s", now.revision, revision, cause))
}

func equalDescriptors(a, b *sla.Microservice) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, fmt.Errorf("encode descriptor: %w", err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("encode descriptor: %w", err)
	}
	return bytes.Equal(x, y), nil
}

// keepsIdentity refuses a descriptor by which the service would be another: its name, namespace and addresses are for life.
func (p *present) keepsIdentity(ctx context.Context, tx pgx.Tx, m *sla.Microservice, at string) error {
	refuse := func(path, format string, args ...any) error {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "identity_fixed", format, args...).At(at + "." + path)
	}
	switch {
	case m.Name != p.name:
		return refuse("microservice_name", "is %q, but the service is %q for life: add a second service instead", m.Name, p.name)
	case m.Namespace != p.namespace:
		return refuse("microservice_namespace", "is %q, but the service's is %q for life: add a second service instead", m.Namespace, p.namespace)
	case m.ID != "" && m.ID != p.id:
		return refuse("microserviceID", "is that of another service than the path names")
	}
	have, err := queryAddresses(ctx, tx, []string{p.id})
	if err != nil {
		return err
	}
	for _, want := range m.Requested() {
		if !slices.Contains(have[p.id], want) {
			return refuse("addresses."+addressKey(want), "%s is not the service's address, which is for life: leave it out, or add a second service", want.Address)
		}
	}
	if m.Addresses == nil {
		m.Addresses = p.service.Addresses // what was asked for once still holds
	}
	return nil
}

// shown are the fields that GET adds to a microservice.
var shown = []string{
	"_id", "applicationID", "job_name", "app_name", "app_ns", "service_name", "service_ns", "image", "next_instance_progressive_number",
	"instance_list", "service_ip_list", "RR_ip", "RR_ip_v6", "status", "status_detail", "revision",
}

// readMicroservice reads the body of an update and returns the microservice in it with the path at which the body has it.
func (r *Root) readMicroservice(body []byte, now *present) (m *sla.Microservice, at string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, "", httpapi.NewProblem(http.StatusBadRequest, "broken_json", "the descriptor is not a JSON object: %v", err)
	}
	const inside = "$.applications[0].microservices[0]"
	at = inside
	if _, whole := fields["applications"]; !whole {
		at = "$"
		if body, err = wrapMicroservice(body, fields, now); err != nil {
			return nil, "", err
		}
	}
	d, err := sla.ParseWith(body, sla.Options{Ranges: r.ranges, AllowIDs: true})
	if err != nil {
		return nil, "", shorten(descriptorProblem(err), inside, at)
	}
	if len(d.Applications) != 1 || len(d.Applications[0].Microservices) != 1 {
		return nil, "", httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_descriptor", "must be one application with one microservice, the one to change").
			At("$.applications")
	}
	if a := d.Applications[0]; a.Name != now.appName || a.Namespace != now.appNS {
		return nil, "", httpapi.NewProblem(http.StatusUnprocessableEntity, "identity_fixed", "the service is of application %s.%s", now.appName, now.appNS).
			At("$.applications[0].application_name")
	}
	return &d.Applications[0].Microservices[0], at, nil
}

// wrapMicroservice makes a descriptor of a microservice by itself, without what only the server says of it. The text is kept where there
// is none of that, so that what is wrong with it, such as a field that comes twice, is found.
func wrapMicroservice(body []byte, fields map[string]json.RawMessage, now *present) ([]byte, error) {
	known := len(fields)
	for _, key := range shown {
		delete(fields, key)
	}
	if len(fields) < known {
		var err error
		if body, err = json.Marshal(fields); err != nil {
			return nil, fmt.Errorf("encode descriptor: %w", err)
		}
	}
	return fmt.Appendf(nil, `{"sla_version":%q,"customerID":"","applications":[{"applicationID":"","application_name":%q,"application_namespace":%q,"microservices":[%s]}]}`,
		sla.Version, now.appName, now.appNS, body), nil
}

// shorten takes out of a problem's paths what the body does not have.
func shorten(err error, inside, at string) error {
	var p *httpapi.Problem
	if !errors.As(err, &p) {
		return err
	}
	cut := func(path string) string {
		if rest, ok := strings.CutPrefix(path, inside); ok {
			return at + rest
		}
		return path
	}
	q := *p
	q.Errors = slices.Clone(p.Errors)
	for i := range q.Errors {
		q.Errors[i].Path = cut(q.Errors[i].Path)
	}
	return q.At(cut(p.Path))
}
