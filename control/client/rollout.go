// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// States of a rollout.
const (
	RolloutProgressing = "progressing"
	RolloutComplete    = "complete"
	RolloutFailed      = "failed"
)

// Rollout is how far the instances of a service are on the way to its present descriptor.
type Rollout struct {
	Revision    int    `json:"revision"`
	State       string `json:"state"`
	Detail      string `json:"detail"`
	RollingBack bool   `json:"rolling_back"`
	// Replicas is how many instances root keeps; nil if it keeps none by itself. Problem says what keeps it from that.
	Replicas         *int           `json:"replicas"`
	Problem          string         `json:"replicas_problem,omitempty"`
	Instances        int            `json:"instances"`
	Updated          int            `json:"updated"`
	UpdatedAvailable int            `json:"updated_available"`
	Available        int            `json:"available"`
	StartedAt        *time.Time     `json:"started_at"`
	ProgressedAt     *time.Time     `json:"progressed_at"`
	FinishedAt       *time.Time     `json:"finished_at"`
	Events           []ServiceEvent `json:"events"`
}

// ServiceEvent is something that was decided about a service.
type ServiceEvent struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Revision int       `json:"revision"`
	Detail   string    `json:"detail"`
}

// Revision is a descriptor that a service has had.
type Revision struct {
	Revision   int             `json:"revision"`
	CreatedAt  time.Time       `json:"created_at"`
	CreatedBy  string          `json:"created_by"`
	Cause      string          `json:"cause"`
	Current    bool            `json:"current"`
	Descriptor json.RawMessage `json:"descriptor"`
}

// Updated tells what became of a change.
type Updated struct {
	Revision int  `json:"revision"`
	Changed  bool `json:"changed"`
}

// UpdateService stores a new descriptor of a service: a microservice by itself, or a descriptor of one application with one. An invalid
// one is an [*Error] of status 422 with the path.
func (c *Client) UpdateService(ctx context.Context, id ID, descriptor []byte) (Updated, error) {
	return ask[Updated](ctx, c, call{method: http.MethodPut, path: servicePath(id), body: descriptor})
}

// RollbackService goes back to an earlier descriptor of a service; 0 is the one before the present one.
func (c *Client) RollbackService(ctx context.Context, id ID, revision int) (Updated, error) {
	return ask[Updated](ctx, c, call{method: http.MethodPost, path: servicePathV1(id) + "/rollback", body: map[string]int{"revision": revision}})
}

// ScaleService sets how many instances root keeps of a service.
func (c *Client) ScaleService(ctx context.Context, id ID, replicas int) error {
	return c.do(ctx, call{method: http.MethodPut, path: servicePathV1(id) + "/scale", body: map[string]int{"replicas": replicas}})
}

// Rollout tells how the last change of a service stands.
func (c *Client) Rollout(ctx context.Context, id ID) (*Rollout, error) {
	return ask[*Rollout](ctx, c, call{method: http.MethodGet, path: servicePathV1(id) + "/rollout"})
}

// Revisions lists the descriptors that a service has had, oldest first.
func (c *Client) Revisions(ctx context.Context, id ID) ([]Revision, error) {
	return ask[[]Revision](ctx, c, call{method: http.MethodGet, path: servicePathV1(id) + "/revisions"})
}

func servicePathV1(id ID) string { return "/api/v1/service/" + url.PathEscape(string(id)) }
