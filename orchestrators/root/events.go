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
}

type eventsQuery struct {
	Instance string `query:"instance" description:"the number of the only instance to tell of"`
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
	rows, err := r.pool.Query(c.Request().Context(), `SELECT number, at, state, detail, deleting, cluster_id, cluster_name, placement, move FROM (
		SELECT e.id, e.number, e.at, e.state, e.detail, e.deleting, coalesce(e.cluster_id, '') AS cluster_id, coalesce(c.name, '') AS cluster_name,
			e.placement, e.move
		FROM instance_event e LEFT JOIN cluster c ON c.id = e.cluster_id
		WHERE e.service_id = $1 AND $2 IN (-1, e.number) ORDER BY e.id DESC LIMIT $3) latest ORDER BY id`, named(c, keyService), number, maxEvents)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[eventJSON])
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	if list == nil {
		list = []eventJSON{}
	}
	return c.JSON(http.StatusOK, list)
}
