// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/sla"
)

const (
	// maxRevisions is how many descriptors of a service are kept, the present one included.
	maxRevisions = 50
	// maxServiceEvents is how many events of a service are kept.
	maxServiceEvents = 200
)

// Kinds of events of a service.
const (
	eventRevision   = "revision"    // a descriptor was stored
	eventScaled     = "scaled"      // another number of replicas is kept
	eventRollout    = "rollout"     // the instances begin to change over
	eventComplete   = "complete"    // all instances have changed over
	eventFailed     = "failed"      // they do not become available
	eventRolledBack = "rolled back" // the former descriptor was stored again
)

// revisionJSON is a descriptor that a service has had.
type revisionJSON struct {
	Revision  int       `json:"revision"`
	CreatedAt time.Time `json:"created_at"`
	// CreatedBy is a user's name, or empty for root itself.
	CreatedBy string `json:"created_by"`
	// Cause is why it was stored: created, updated, rolled back.
	Cause string `json:"cause"`
	// Current says that it is the one by which new instances are made.
	Current    bool            `json:"current"`
	Descriptor json.RawMessage `json:"descriptor"`
}

// storeRevision stores a descriptor of a service as its newest revision, which becomes the present one.
func storeRevision(ctx context.Context, tx pgx.Tx, id string, m *sla.Microservice, by, cause string) (revision int, err error) {
	doc, err := json.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("encode service %s: %w", m.Name, err)
	}
	err = tx.QueryRow(ctx, `UPDATE service SET descriptor = $2, revision = revision + 1 WHERE id = $1 RETURNING revision`, id, doc).Scan(&revision)
	if err != nil {
		return 0, fmt.Errorf("store service %s: %w", id, err)
	}
	if err := insertRevision(ctx, tx, id, revision, doc, by, cause); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM service_revision WHERE service_id = $1 AND revision <= $2`, id, revision-maxRevisions)
	if err != nil {
		return 0, fmt.Errorf("forget old revisions of service %s: %w", id, err)
	}
	return revision, note(ctx, tx, id, eventRevision, revision, "%s", cause)
}

func insertRevision(ctx context.Context, tx pgx.Tx, id string, revision int, doc []byte, by, cause string) error {
	_, err := tx.Exec(ctx, `INSERT INTO service_revision (service_id, revision, descriptor, created_by, cause) VALUES ($1, $2, $3, $4, $5)`,
		id, revision, doc, by, cause)
	if err != nil {
		return fmt.Errorf("store revision %d of service %s: %w", revision, id, err)
	}
	return nil
}

// note adds an event to those of a service.
func note(ctx context.Context, tx pgx.Tx, id, kind string, revision int, format string, args ...any) error {
	_, err := tx.Exec(ctx, `INSERT INTO service_event (service_id, kind, revision, detail) VALUES ($1, $2, $3, $4)`,
		id, kind, revision, fmt.Sprintf(format, args...))
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM service_event WHERE service_id = $1 AND id <=
			(SELECT id FROM service_event WHERE service_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)`, id, maxServiceEvents)
	}
	if err != nil {
		return fmt.Errorf("note event of service %s: %w", id, err)
	}
	return nil
}

// readRevision returns a stored descriptor of a service; a problem with status 404 if it is not kept.
func readRevision(ctx context.Context, tx pgx.Tx, id string, revision int) (*sla.Microservice, error) {
	var doc []byte
	err := tx.QueryRow(ctx, `SELECT descriptor FROM service_revision WHERE service_id = $1 AND revision = $2`, id, revision).Scan(&doc)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, notFound("revision", fmt.Sprintf("%d of service %s (the last %d are kept)", revision, id, maxRevisions))
	}
	if err != nil {
		return nil, fmt.Errorf("read revision %d of service %s: %w", revision, id, err)
	}
	var m sla.Microservice
	if err := json.Unmarshal(doc, &m); err != nil {
		return nil, fmt.Errorf("read revision %d of service %s: %w", revision, id, err)
	}
	return &m, nil
}

// listRevisions lists the descriptors that are kept of a service, oldest first.
func (r *Root) listRevisions(c echo.Context) error {
	rows, err := r.pool.Query(c.Request().Context(), `SELECT v.revision, v.created_at, v.created_by, v.cause, v.revision = s.revision, v.descriptor
		FROM service_revision v JOIN service s ON s.id = v.service_id WHERE s.id = $1 ORDER BY v.revision`, named(c, keyService))
	if err != nil {
		return fmt.Errorf("list revisions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[revisionJSON])
	if err != nil {
		return fmt.Errorf("list revisions: %w", err)
	}
	return c.JSON(http.StatusOK, list)
}
