// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
)

// Application is an application as root shows it.
type Application struct {
	ID          ID     `json:"applicationID"`
	Name        string `json:"application_name"`
	Namespace   string `json:"application_namespace"`
	Description string `json:"application_desc"`
	UserID      string `json:"userId"`
	// Microservices are the ids of its services.
	Microservices []ID `json:"microservices"`
}

// CreateApplication registers the applications of a descriptor and deploys nothing. It returns all applications of the
// user. An invalid descriptor is an [*Error] of status 422 with the path, a name in use one of status 409.
func (c *Client) CreateApplication(ctx context.Context, descriptor []byte) ([]Application, error) {
	return ask[[]Application](ctx, c, call{method: http.MethodPost, path: "/api/application/", body: descriptor, creates: true})
}

// Applications lists the applications of the user who is logged in.
func (c *Client) Applications(ctx context.Context) ([]Application, error) {
	return ask[[]Application](ctx, c, call{method: http.MethodGet, path: "/api/applications/" + url.PathEscape(c.Claims().Subject)})
}

// AllApplications lists the applications that the user may see: for administrators everybody's, otherwise the user's own.
func (c *Client) AllApplications(ctx context.Context) ([]Application, error) {
	return ask[[]Application](ctx, c, call{method: http.MethodGet, path: "/api/applications/"})
}

// DeleteApplication undeploys the services of an application and deletes it.
func (c *Client) DeleteApplication(ctx context.Context, id ID) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/api/application/" + url.PathEscape(string(id))})
}
