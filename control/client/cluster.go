// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Cluster is a cluster as root shows it: an aggregate, without its workers.
type Cluster struct {
	ID       ID     `json:"id"`
	Name     string `json:"name"`
	Location string `json:"location"`
	// Active says that it has reported lately.
	Active     bool      `json:"active"`
	LastReport time.Time `json:"last_report"`
	JoinedAt   time.Time `json:"joined_at"`
	// Instances is how many instances root has given to it.
	Instances int            `json:"instances"`
	Aggregate wire.Aggregate `json:"aggregate"`
}

// Clusters lists all clusters that have ever joined.
func (c *Client) Clusters(ctx context.Context) ([]Cluster, error) {
	return ask[[]Cluster](ctx, c, call{method: http.MethodGet, path: "/api/v1/clusters"})
}
