// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// eventChannel is the Postgres channel on which the database tells that there are events; see schema/00013_stream.sql.
const eventChannel = "oakestra_event"

const (
	// heartbeat is how often something is sent while nothing happens, so that either end notices that the other is gone.
	heartbeat = 10 * time.Second
	// eventPoll is how often events are looked for without a hint.
	eventPoll = 2 * time.Second
	// eventGather spaces the looks: a burst is told in a few.
	eventGather = 50 * time.Millisecond
	// eventBatch bounds what is read at a time.
	eventBatch = 500
	// eventWrite is how long a reader may take nothing.
	eventWrite = 30 * time.Second
)

type eventStreamQuery struct {
	Application string `query:"application" description:"only events of this application's instances, by id"`
	Service     string `query:"service" description:"only events of this service's instances, by id or job name"`
	Instance    string `query:"instance" description:"only events of the instance with this number"`
	Since       string `query:"since_id" description:"begin after the event with this id, as Last-Event-ID does; 0 for all that is known; without either, with what happens from now on"`
}

// streamedEvent is one event as the data of a server-sent event.
type streamedEvent struct {
	ID            int64      `json:"id"`
	ServiceID     string     `json:"service_id"`
	JobName       string     `json:"job_name"`
	ApplicationID string     `json:"application_id"`
	Number        int        `json:"instance_number"`
	At            time.Time  `json:"at"`
	Status        wire.State `json:"status"`
	Detail        string     `json:"status_detail"`
	Deleting      bool       `json:"deleting"`
	ClusterID     string     `json:"cluster_id"`
	ClusterName   string     `json:"cluster_name"`
	Placement     int64      `json:"placement"`
	Move          int64      `json:"move"`
}

const selectStream = `SELECT e.id, e.service_id, s.job_name, s.application_id, e.number, e.at, e.state, e.detail, e.deleting, coalesce(e.cluster_id, ''),
	coalesce(c.name, ''), e.placement, e.move
	FROM instance_event e JOIN service s ON s.id = e.service_id JOIN application a ON a.id = s.application_id LEFT JOIN cluster c ON c.id = e.cluster_id
	WHERE ` + visible + ` AND e.id > $5 AND $6 IN ('', a.id) AND $7 IN ('', s.id, s.job_name) AND $8 IN (-1, e.number) ORDER BY e.id LIMIT $9`

// follower is one reader of events.
type follower struct {
	r           *Root
	principal   users.Principal
	application string
	service     string
	number      int
	last        int64 // up to which everything was told: events become visible in the order of their ids, see schema/00015_event_order.sql
}

// streamEvents follows what becomes of instances.
func (r *Root) streamEvents(c echo.Context) error {
	p := principal(c)
	f := &follower{r: r, principal: p, application: c.QueryParam("application"), service: c.QueryParam("service"), number: -1}
	q := &query{c: c}
	if n := q.number("instance", 1<<31-1); n != nil {
		f.number = *n
	}
	if q.err != nil {
		return q.err
	}
	if err := f.begin(c); err != nil {
		return err
	}
	leave, err := r.streams.enter(p.ID)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := r.whileLoggedIn(c.Request().Context(), p, func(now users.Principal) bool {
		return now.IsAdmin() == p.IsAdmin() && now.IsOrganizationAdmin() == p.IsOrganizationAdmin()
	})
	defer cancel()
	response := c.Response()
	control := http.NewResponseController(response)
	_ = control.SetReadDeadline(time.Time{})
	response.Header().Set(echo.HeaderContentType, "text/event-stream")
	response.Header().Set(echo.HeaderCacheControl, "no-store")
	response.Header().Set("X-Accel-Buffering", "no") // a proxy that gathered events would hold them up
	response.WriteHeader(http.StatusOK)
	write := func(text string) error {
		_ = control.SetWriteDeadline(time.Now().Add(eventWrite))
		if _, err := response.Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := write("retry: 1000\n\n"); err != nil {
		return nil
	}
	if err := f.follow(ctx, write); err != nil && !errors.Is(err, errLoggedOut) {
		r.log.Debug("event stream ended", "error", err)
	}
	return nil
}

// begin finds out where to begin.
func (f *follower) begin(c echo.Context) error {
	text := c.Request().Header.Get("Last-Event-ID")
	if text == "" {
		text = c.QueryParam("since_id")
	}
	err := f.r.pool.QueryRow(c.Request().Context(), `SELECT coalesce(max(id), 0) FROM instance_event`).Scan(&f.last)
	if err != nil {
		return fmt.Errorf("look up the latest event: %w", err)
	}
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_query", "Last-Event-ID and since_id must be the id of an event, or 0")
	}
	// Ids of a database that was restored begin again below those that a reader has seen.
	f.last = min(f.last, n)
	return nil
}

// follow tells events until writing fails or ctx ends. While the database is away it waits.
func (f *follower) follow(ctx context.Context, write func(string) error) error {
	poll := time.NewTicker(eventPoll)
	defer poll.Stop()
	spoke := time.Now()
	for {
		hint := f.r.hub.wait(eventChannel, "") // before looking, so that nothing falls between
		list, err := f.next(ctx)
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i := range list {
			if err := f.tell(&list[i], write); err != nil {
				return err
			}
			spoke = time.Now()
		}
		if len(list) == eventBatch {
			continue
		}
		if time.Since(spoke) >= heartbeat {
			if err := write(": nothing new\n\n"); err != nil {
				return err
			}
			spoke = time.Now()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		case <-hint:
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(eventGather):
			}
		}
	}
}

func (f *follower) next(ctx context.Context) ([]streamedEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, httpapi.RequestTimeout)
	defer cancel()
	rows, err := f.r.pool.Query(ctx, selectStream, scope(f.principal, f.last, f.application, f.service, f.number, eventBatch)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e streamedEvent, err error) {
		err = row.Scan(&e.ID, &e.ServiceID, &e.JobName, &e.ApplicationID, &e.Number, &e.At, &e.Status, &e.Detail, &e.Deleting, &e.ClusterID, &e.ClusterName,
			&e.Placement, &e.Move)
		return e, err
	})
}

// tell writes one event. A reader who comes back goes on after its id.
func (f *follower) tell(e *streamedEvent, write func(string) error) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := write(fmt.Sprintf("id: %d\nevent: instance\ndata: %s\n\n", e.ID, data)); err != nil {
		return err
	}
	f.last = e.ID
	return nil
}
