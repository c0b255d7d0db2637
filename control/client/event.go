// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Event is one change in the life of an instance: of its state, of the reason for it, or of where it is to run.
type Event struct {
	Number      int        `json:"instance_number"`
	At          time.Time  `json:"at"`
	Status      wire.State `json:"status"`
	Detail      string     `json:"status_detail"`
	Deleting    bool       `json:"deleting"`
	ClusterID   ID         `json:"cluster_id"`
	ClusterName string     `json:"cluster_name"`
	Placement   int64      `json:"placement"`
	Move        int64      `json:"move"`
}

// Events tells what became of one instance of a service, or of all of them, oldest first.
func (c *Client) Events(ctx context.Context, service ID, number int) ([]Event, error) {
	q := call{method: http.MethodGet, path: "/api/v1/service/" + url.PathEscape(string(service)) + "/events"}
	if number != AllInstances {
		q.path += "?instance=" + strconv.Itoa(number)
	}
	return ask[[]Event](ctx, c, q)
}
