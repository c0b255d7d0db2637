// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// maxEvents bounds an answer; older ones are left out.
const maxEvents = 1000

// eventJSON is one change in the life of an instance: of its state, of the reason for it, or of where it is to run.
type eventJSON struct {
	Number    int        `json:"instance_number"`
	At        time.Time  `json:"at"`
	Status    wire.State `json:"status"`
	Detail    string     `json:"status_detail"`
	Deleting  bool       `json:"deleting"`
	ClusterID string     `json:"cluster_id"`
	// ClusterName is empty if there is none, or none any more.
	ClusterName string `json:"cluster_name"`
	Placement   int64  `json:"placement"`
	Move        int64  `json:"move"`

	id int64
}

type eventsQuery struct {
	Instance string `query:"instance" description:"the number of the only instance to tell of"`
	httpapi.PageQuery
}

// listEvents tells what became of a service's instances, oldest first: those that are there, and for a week those that are gone.
func (r *Root) listEvents(c echo.Context) error {
	number := -1
	if text := c.QueryParam("instance"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > math.MaxInt32 {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_number", "instance must be a number, 0 or more")
		}
		number = n
	}
	page, after, err := numberedPage(httpapi.PageOf(c, 1))
	if err != nil {
		return err
	}
	if page.Limit > 0 {
		return r.pageOfEvents(c, page, after, number)
	}
	rows, err := r.pool.Query(c.Request().Context(), `SELECT * FROM (`+selectEvents+`ORDER BY e.id DESC LIMIT $3) latest ORDER BY id`, named(c, keyService), number, maxEvents)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	list, err := collectEvents(rows)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list)
}

const selectEvents = `SELECT e.id, e.number, e.at, e.state, e.detail, e.deleting, coalesce(e.cluster_id, '') AS cluster_id,
	coalesce(c.name, '') AS cluster_name, e.placement, e.move
	FROM instance_event e LEFT JOIN cluster c ON c.id = e.cluster_id WHERE e.service_id = $1 AND $2 IN (-1, e.number) `

// pageOfEvents tells the oldest events after one.
func (r *Root) pageOfEvents(c echo.Context, page httpapi.Page, after int64, number int) error {
	rows, err := r.pool.Query(c.Request().Context(), selectEvents+`AND e.id > $3 ORDER BY e.id LIMIT $4`, named(c, keyService), number, after, page.Limit+1)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	list, err := collectEvents(rows)
	if err != nil {
		return err
	}
	list = httpapi.Cut(c, page, list, func(e eventJSON) []string { return []string{strconv.FormatInt(e.id, 10)} })
	return c.JSON(http.StatusOK, list)
}

func collectEvents(rows pgx.Rows) ([]eventJSON, error) {
	list := []eventJSON{}
	var e eventJSON
	into := []any{&e.id, &e.Number, &e.At, &e.Status, &e.Detail, &e.Deleting, &e.ClusterID, &e.ClusterName, &e.Placement, &e.Move}
	if _, err := pgx.ForEachRow(rows, into, func() error { list = append(list, e); return nil }); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list, nil
}
