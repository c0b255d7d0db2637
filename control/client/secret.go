// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Secret is all that root tells of a secret: not its value.
type Secret struct {
	ID        ID        `json:"id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Shared    bool      `json:"shared"`
	Owner     string    `json:"owner"`
	Version   int       `json:"version"`
	Versions  []int     `json:"versions"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	UsedBy    []string  `json:"used_by"`
}

// SecretValue is a secret to be stored: Value or Registry is set.
type SecretValue struct {
	Name     string              `json:"name,omitempty"`
	Shared   *bool               `json:"shared,omitempty"`
	Value    []byte              `json:"value_base64,omitempty"`
	Registry *wire.RegistryLogin `json:"registry,omitempty"`
	// Restart says whether services that use the secret change over now; nil for yes.
	Restart *bool `json:"restart,omitempty"`
}

// Secrets lists the secrets of the user's organisation that he may use.
func (c *Client) Secrets(ctx context.Context) ([]Secret, error) {
	return ask[[]Secret](ctx, c, call{method: http.MethodGet, path: "/api/v1/secrets"})
}

// CreateSecret stores a new secret.
func (c *Client) CreateSecret(ctx context.Context, v SecretValue) (*Secret, error) {
	return ask[*Secret](ctx, c, call{method: http.MethodPost, path: "/api/v1/secrets", body: v})
}

// UpdateSecret stores a new version of a secret, by its name or id.
func (c *Client) UpdateSecret(ctx context.Context, name string, v SecretValue) (*Secret, error) {
	return ask[*Secret](ctx, c, call{method: http.MethodPut, path: "/api/v1/secrets/" + url.PathEscape(name), body: v})
}

// DeleteSecret forgets a secret. One that services use is refused with status 409 unless forced.
func (c *Client) DeleteSecret(ctx context.Context, name string, force bool) error {
	path := "/api/v1/secrets/" + url.PathEscape(name)
	if force {
		path += "?force=true"
	}
	return c.do(ctx, call{method: http.MethodDelete, path: path})
}
