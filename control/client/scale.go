// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
)

// Scale sets how many instances root keeps of a service, 0 to 1000. It returns before they have come or gone.
func (c *Client) Scale(ctx context.Context, service ID, replicas int) error {
	return c.do(ctx, call{method: http.MethodPut, path: "/api/v1/service/" + url.PathEscape(string(service)) + "/scale",
		body: map[string]int{"replicas": replicas}})
}
