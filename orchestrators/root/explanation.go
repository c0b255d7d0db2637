// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
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

// explanationJSON says why an instance is where it is, or has no place.
type explanationJSON struct {
	ServiceID    string     `json:"service_id"`
	Number       int        `json:"instance_number"`
	Status       wire.State `json:"status"`
	StatusDetail string     `json:"status_detail"`
	Since        time.Time  `json:"since"`
	ClusterID    string     `json:"cluster_id"`
	ClusterName  string     `json:"cluster_name"`
	// Root says why this cluster was chosen, or none, and Cluster the same of the worker there; absent while nothing was decided.
	Root    *wire.Explanation `json:"root,omitempty"`
	Cluster *wire.Explanation `json:"cluster,omitempty"`
}

// explain tells what the schedulers of both tiers have last said of an instance.
func (r *Root) explain(c echo.Context) error {
	id := named(c, keyService)
	number, err := strconv.Atoi(c.Param("number"))
	if err != nil || number < 0 || number > math.MaxInt32 {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_number", "the instance's number must be 0 or more")
	}
	e := explanationJSON{ServiceID: id, Number: number}
	err = r.pool.QueryRow(c.Request().Context(), `SELECT i.state, i.detail, i.since, coalesce(i.cluster_id, ''), coalesce(k.name, ''),
		i.root_explanation, i.cluster_explanation FROM instance i LEFT JOIN cluster k ON k.id = i.cluster_id
		WHERE i.service_id = $1 AND i.number = $2`, id, number).
		Scan(&e.Status, &e.StatusDetail, &e.Since, &e.ClusterID, &e.ClusterName, &e.Root, &e.Cluster)
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("instance", fmt.Sprintf("%d of service %s", number, id))
	}
	if err != nil {
		return fmt.Errorf("read explanation of instance %d of service %s: %w", number, id, err)
	}
	return c.JSON(http.StatusOK, e)
}
