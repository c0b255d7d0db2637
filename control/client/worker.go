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

// Worker is a worker as its cluster told root of it.
type Worker struct {
	wire.WorkerView
	ClusterID   ID     `json:"cluster_id"`
	ClusterName string `json:"cluster_name"`
	// AsOf is when the cluster told this.
	AsOf time.Time `json:"as_of"`
	// Wanted is the last order of an administrator; nil if there was none.
	Wanted *WorkerOrder `json:"wanted,omitempty"`
}

// WorkerOrder is what an administrator wants of a worker.
type WorkerOrder struct {
	Mode   wire.WorkerMode `json:"mode"`
	Reason string          `json:"reason"`
	By     string          `json:"by"`
	At     time.Time       `json:"at"`
	// Taken says that the cluster has the order.
	Taken bool `json:"taken"`
}

// Workers lists the workers of all clusters that tell of them. It is for administrators.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	return ask[[]Worker](ctx, c, call{method: http.MethodGet, path: "/api/v1/workers"})
}

// WorkersOf lists the workers of one cluster. One that is away is an [*Error] of status 504, one that tells nothing of them of status 403.
func (c *Client) WorkersOf(ctx context.Context, cluster ID) ([]Worker, error) {
	return ask[[]Worker](ctx, c, call{method: http.MethodGet, path: "/api/v1/clusters/" + url.PathEscape(string(cluster)) + "/workers"})
}

// Worker shows one worker.
func (c *Client) Worker(ctx context.Context, id string) (*Worker, error) {
	return ask[*Worker](ctx, c, call{method: http.MethodGet, path: "/api/v1/workers/" + url.PathEscape(id)})
}

// SetWorkerMode says what a worker is to be used for. It is so once the order is taken, which [Client.Worker] tells.
func (c *Client) SetWorkerMode(ctx context.Context, id string, mode wire.WorkerMode, reason string) (*Worker, error) {
	return ask[*Worker](ctx, c, call{method: http.MethodPut, path: "/api/v1/workers/" + url.PathEscape(id) + "/mode",
		body: map[string]string{"mode": string(mode), "reason": reason}})
}

// Token is a join token as it is listed; Token is its value, which is told once.
type Token struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"`
	Audience  string    `json:"audience"`
	UsesLeft  int       `json:"uses_left"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Expired   bool      `json:"expired"`
	Token     string    `json:"token,omitempty"`
}

// Tokens lists the join tokens, oldest first.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	return ask[[]Token](ctx, c, call{method: http.MethodGet, path: "/api/v1/tokens"})
}

// CreateToken issues a token for clusters to join with, good for so long, to be used so often.
func (c *Client) CreateToken(ctx context.Context, ttl time.Duration, uses int) (*Token, error) {
	return ask[*Token](ctx, c, call{method: http.MethodPost, path: "/api/v1/tokens", body: map[string]any{"ttl_s": int(ttl / time.Second), "uses": uses}})
}

// RevokeToken has nobody join with a token from now on.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/api/v1/tokens/" + url.PathEscape(id)})
}

// Explanation says why an instance is where it is, or has no place.
type Explanation struct {
	ServiceID    ID         `json:"service_id"`
	Number       int        `json:"instance_number"`
	Status       wire.State `json:"status"`
	StatusDetail string     `json:"status_detail"`
	Since        time.Time  `json:"since"`
	ClusterID    ID         `json:"cluster_id"`
	ClusterName  string     `json:"cluster_name"`
	// Root and Cluster are what the schedulers of the two tiers said last; nil while they said nothing.
	Root    *wire.Explanation `json:"root,omitempty"`
	Cluster *wire.Explanation `json:"cluster,omitempty"`
}

// Explain tells why an instance is where it is, or has no place.
func (c *Client) Explain(ctx context.Context, service ID, number int) (*Explanation, error) {
	return ask[*Explanation](ctx, c, call{method: http.MethodGet,
		path: "/api/v1/service/" + url.PathEscape(string(service)) + "/instance/" + strconv.Itoa(number) + "/explanation"})
}
