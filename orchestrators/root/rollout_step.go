// SPDX-License-Identifier: Apache-2.0

package root

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// member is an instance as a rollout sees it.
type member struct {
	number    int
	updated   bool
	available bool
	held      bool
	// failed is for how long it has said that it failed.
	failed time.Duration
	detail string
}

// step does the next thing for a rollout: it ends it, takes it back, or has the instances change over whose turn it is. It has to run
// under the placing lock.
func (r *Root) step(ctx context.Context, tx pgx.Tx, ro *rollout) error {
	t, err := loadTemplate(ctx, tx, ro.service)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // it is being deleted
	}
	if err != nil {
		return err
	}
	members, err := listMembers(ctx, tx, ro)
	if err != nil {
		return err
	}
	s := strategyOf(&t.service)
	var done, unavailable int
	var outdated, held []member
	for _, m := range members {
		switch {
		case m.held:
			held = append(held, m)
		case m.updated && m.available:
			done++
		case !m.updated:
			outdated = append(outdated, m)
		}
		if !m.available {
			unavailable++
		}
	}
	if len(outdated) == 0 && len(held) == 0 && done == len(members) {
		return endRollout(ctx, tx, ro, rolloutComplete, eventComplete, fmt.Sprintf("all %d instances are of revision %d", done, ro.revision))
	}
	if why := ro.failure(s, members, done); why != "" {
		return r.fail(ctx, tx, ro, t, s, why)
	}
	changed, err := r.changeOver(ctx, tx, ro, t, s, outdated, unavailable)
	if err != nil {
		return err
	}
	if len(outdated) == 0 && len(held) > 0 {
		released, err := releaseHeld(ctx, tx, ro, s)
		if err != nil {
			return err
		}
		if released {
			changed++
			r.wakeRetry()
		}
	}
	detail := fmt.Sprintf("%d of %d instances are of revision %d and available", done, len(members), ro.revision)
	if len(held) > 0 {
		detail += fmt.Sprintf("; %d wait until all of the former revision have stopped", len(held))
	}
	_, err = tx.Exec(ctx, `UPDATE rollout SET available = $2, detail = $3, progressed_at = CASE WHEN $4 THEN now() ELSE progressed_at END
		WHERE service_id = $1`, ro.service, done, detail, changed > 0 || done > ro.available)
	if err != nil {
		return fmt.Errorf("note progress of service %s: %w", ro.service, err)
	}
	return nil
}

// failure says why a rollout has failed, or returns "".
func (ro *rollout) failure(s strategy, members []member, done int) string {
	for _, m := range members {
		if m.updated && m.failed > failedFor {
			return fmt.Sprintf("instance %d has failed: %s", m.number, m.detail)
		}
	}
	if done > ro.available || ro.idle < s.deadline {
		return ""
	}
	why := fmt.Sprintf("nothing has progressed for %s", s.deadline)
	for _, m := range members {
		if m.updated && !m.available {
			return fmt.Sprintf("%s: instance %d is not available (%s)", why, m.number, m.detail)
		}
	}
	return why
}

// fail takes a rollout back, or leaves it where it is.
func (r *Root) fail(ctx context.Context, tx pgx.Tx, ro *rollout, t *template, s strategy, why string) error {
	r.log.Warn("rollout of a service has failed", "service", ro.service, "job", t.job, "revision", ro.revision, "reason", why)
	if _, err := tx.Exec(ctx, `UPDATE instance SET held = false, next_attempt = now() WHERE service_id = $1 AND held`, ro.service); err != nil {
		return fmt.Errorf("let instances of service %s go on: %w", ro.service, err)
	}
	if ro.rollingBack || !s.rollback || ro.previous == 0 {
		return endRollout(ctx, tx, ro, rolloutFailed, eventFailed, why)
	}
	if err := note(ctx, tx, ro.service, eventFailed, ro.revision, "%s", why); err != nil {
		return err
	}
	m, err := readRevision(ctx, tx, ro.service, ro.previous)
	if err != nil {
		return endRollout(ctx, tx, ro, rolloutFailed, eventFailed, fmt.Sprintf("%s; revision %d, to go back to, is not kept any more", why, ro.previous))
	}
	revision, err := storeRevision(ctx, tx, ro.service, m, "", fmt.Sprintf("revision %d failed (%s): back to revision %d", ro.revision, why, ro.previous))
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return r.beginRollout(ctx, tx, ro.service, revision, ro.previous, true, fmt.Sprintf("back to revision %d: %s", ro.previous, why))
}

// changeOver gives the new specification to the instances whose turn it is, and returns how many that were.
func (r *Root) changeOver(ctx context.Context, tx pgx.Tx, ro *rollout, t *template, s strategy, outdated []member, unavailable int) (changed int, err error) {
	if len(outdated) == 0 {
		return 0, nil
	}
	view, err := r.loadClusters(ctx, tx)
	if err != nil {
		return 0, err
	}
	// Those that serve nobody cost nothing.
	slices.SortStableFunc(outdated, func(a, b member) int {
		return cmp.Or(compare(a.available, b.available), cmp.Compare(a.number, b.number))
	})
	for _, m := range outdated {
		if changed >= rolloutBatch {
			r.wakeRollouts()
			break
		}
		i, err := loadInstance(ctx, tx, wire.InstanceKey{ServiceID: ro.service, Number: m.number})
		if err != nil {
			return changed, err
		}
		spec, err := t.specFor(i, ro.revision)
		if err != nil {
			return changed, err
		}
		switch {
		case t.suits(i, spec, view):
			err = relabel(ctx, tx, i, spec)
		case s.recreate:
			err = takeOff(ctx, tx, i, spec, true)
		case m.available && unavailable >= s.maxUnavailable:
			return changed, nil // in a later step
		default:
			if m.available {
				unavailable++
			}
			err = r.replace(ctx, tx, i, spec, view)
		}
		if err != nil {
			return changed, err
		}
		changed++
	}
	return changed, nil
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// releaseHeld lets instances be placed that waited for all of the former revision to stop: once no cluster has one to stop, or the
// deadline says that this is not worth waiting for.
func releaseHeld(ctx context.Context, tx pgx.Tx, ro *rollout, s strategy) (bool, error) {
	tag, err := tx.Exec(ctx, `UPDATE instance SET held = false, next_attempt = now(), detail = 'root is choosing a cluster' WHERE service_id = $1 AND held
		AND ($2 OR NOT EXISTS (SELECT FROM tombstone t WHERE t.service_id = $1))`, ro.service, ro.idle > s.deadline/2)
	if err != nil {
		return false, fmt.Errorf("let instances of service %s go on: %w", ro.service, err)
	}
	return tag.RowsAffected() > 0, nil
}

func listMembers(ctx context.Context, tx pgx.Tx, ro *rollout) ([]member, error) {
	rows, err := tx.Query(ctx, `SELECT number, service_revision = $2, `+available+`, held,
		CASE WHEN state IN ('FAILED', 'DEAD') THEN greatest(extract(epoch FROM clock_timestamp() - since), 0)::float8 ELSE 0 END, state || ': ' || detail
		FROM instance WHERE service_id = $1 AND deleted_at IS NULL ORDER BY number`, ro.service, ro.revision)
	if err != nil {
		return nil, fmt.Errorf("list instances of service %s: %w", ro.service, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m member, err error) {
		var failed float64
		err = row.Scan(&m.number, &m.updated, &m.available, &m.held, &failed, &m.detail)
		m.failed = time.Duration(failed * float64(time.Second))
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("list instances of service %s: %w", ro.service, err)
	}
	return list, nil
}

// template is what the instances of a service are made of.
type template struct {
	app     application
	job     string
	service sla.Microservice
	addrs   []wire.ServiceAddress
	// secrets holds the references to secrets, resolved.
	secrets wire.InstanceSpec
}

func loadTemplate(ctx context.Context, tx pgx.Tx, id string) (*template, error) {
	t := &template{}
	var doc []byte
	err := tx.QueryRow(ctx, `SELECT s.descriptor, s.job_name, a.id, a.name, a.namespace, a.organization_id, a.constraints
		FROM service s JOIN application a ON a.id = s.application_id WHERE s.id = $1 AND s.deleted_at IS NULL`, id).
		Scan(&doc, &t.job, &t.app.ID, &t.app.Name, &t.app.Namespace, &t.app.Organization, &t.app.Constraints)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(doc, &t.service); err != nil {
		return nil, fmt.Errorf("read descriptor of service %s: %w", id, err)
	}
	t.service.Constraints = append(t.service.Constraints, t.app.Constraints...)
	t.app.Constraints = nil // lest they count twice
	addrs, err := queryAddresses(ctx, tx, []string{id})
	if err != nil {
		return nil, err
	}
	t.addrs = addrs[id]
	return t, resolveSecrets(ctx, tx, t.app.Organization, &t.service, &t.secrets)
}

// specFor is what an instance is to become.
func (t *template) specFor(i *instanceRow, revision int) (wire.InstanceSpec, error) {
	spec, err := specOf(t.app, &t.service, t.addrs)
	if err != nil {
		return spec, err
	}
	spec.Secrets, spec.RegistryCredentials = t.secrets.Secrets, t.secrets.RegistryCredentials
	spec.InstanceIP, spec.InstanceIPv6, spec.Revision = i.spec.InstanceIP, i.spec.InstanceIPv6, revision
	// As it is stored, so that it compares.
	text, err := json.Marshal(spec)
	if err != nil {
		return spec, fmt.Errorf("encode specification of instance %s: %w", i.InstanceKey, err)
	}
	spec = wire.InstanceSpec{}
	err = json.Unmarshal(text, &spec)
	return spec, err
}

// suits reports whether an instance may run on as it is: nothing that it is made of has changed, and its cluster is one of those allowed.
func (t *template) suits(i *instanceRow, spec wire.InstanceSpec, view *clusterView) bool {
	was := i.spec
	was.Revision, was.Labels, was.RegistryCredentials = spec.Revision, spec.Labels, spec.RegistryCredentials
	if !reflect.DeepEqual(was, spec) {
		return false
	}
	at := view.named([]string{i.cluster})
	return len(at) == 0 || barred(&t.service, at[0]) == ""
}
