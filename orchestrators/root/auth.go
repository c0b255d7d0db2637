// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// access says who may use a route.
type access int

const (
	// anyoneSecure routes check what they are given by themselves: a password, a token. They are refused on plain.
	anyoneSecure access = iota + 1
	// user routes are for whoever is logged in, within what is his.
	user
	// admin routes are for administrators.
	admin
	// cluster routes are for the cluster whose id is in the path, proved by its certificate.
	cluster
)

// Keys of what authorize leaves in the context.
const (
	keyPrincipal = "principal"
	keyApp       = "application"
	keyService   = "service"
)

// authorize is the one place where it is decided who may do what. The names of a route's parameters tell what it is about:
//
//	:application, :service  have to belong to the user; other users are told that there is no such thing
//	:name                   has to be the user's own
//	:id                     of a cluster route has to be the cluster's own
//
// Administrators may do everything that users may.
func (r *Root) authorize(a access) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			switch a {
			case anyoneSecure:
			case cluster:
				id, ok := identity.PeerID(c.Request())
				if !ok {
					return httpapi.NewProblem(http.StatusUnauthorized, "no_certificate", "this needs the cluster's certificate over TLS")
				}
				if id != c.Param("id") {
					return httpapi.NewProblem(http.StatusForbidden, "wrong_cluster", "the certificate is of another cluster")
				}
			case user, admin:
				if err := r.authorizeUser(c, a); err != nil {
					return err
				}
			default:
				return fmt.Errorf("route %s has no access rule", c.Path())
			}
			return next(c)
		}
	}
}

func (r *Root) authorizeUser(c echo.Context, a access) error {
	p, err := r.authenticate(c)
	if err != nil {
		return err
	}
	c.Set(keyPrincipal, p)
	if a == admin && !p.IsAdmin() {
		return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "this is for administrators")
	}
	for _, param := range c.ParamNames() {
		value := c.Param(param)
		switch param {
		case "application":
			err = r.own(c, p, keyApp, `SELECT owner_id, id FROM application WHERE id = $1 AND deleted_at IS NULL`, value)
		case "service":
			column := "s.id"
			if _, _, _, _, e := semantic.ParseJobName(value); e == nil {
				column = "s.job_name"
			}
			err = r.own(c, p, keyService, `SELECT a.owner_id, s.id FROM service s JOIN application a ON a.id = s.application_id
				WHERE `+column+` = $1 AND s.deleted_at IS NULL ORDER BY a.owner_id <> $2 LIMIT 1`, value, p.ID)
		case "name":
			if !p.IsAdmin() && !strings.EqualFold(value, p.Name) && value != p.ID {
				err = httpapi.NewProblem(http.StatusForbidden, "not_allowed", "this is about another user")
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// own looks up whose the thing named in the path is, and leaves its id in the context.
func (r *Root) own(c echo.Context, p users.Principal, key, query, value string, more ...any) error {
	var owner, id string
	err := r.pool.QueryRow(c.Request().Context(), query, append([]any{value}, more...)...).Scan(&owner, &id)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && owner != p.ID && !p.IsAdmin() {
		return notFound(key, value)
	}
	if err != nil {
		return fmt.Errorf("look up owner of %s: %w", key, err)
	}
	c.Set(key, id)
	return nil
}

func (r *Root) authenticate(c echo.Context) (users.Principal, error) {
	token, err := bearer(c)
	if err != nil {
		return users.Principal{}, err
	}
	p, err := r.users.Authenticate(c.Request().Context(), token)
	return p, userProblem(err)
}

func bearer(c echo.Context) (string, error) {
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", httpapi.NewProblem(http.StatusUnauthorized, "no_token", "Missing authentication token: send Authorization: Bearer TOKEN")
	}
	return strings.TrimSpace(token), nil
}

// principal returns who makes the request; authorize has set it on every route for users.
func principal(c echo.Context) users.Principal {
	p, _ := c.Get(keyPrincipal).(users.Principal)
	return p
}

// named returns the id that authorize found for a parameter of the path.
func named(c echo.Context, key string) string {
	id, _ := c.Get(key).(string)
	return id
}
