// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
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
	// organizationAdmin routes are for administrators, and for those of an organisation within it: see [scope].
	organizationAdmin
	// admin routes are for administrators.
	admin
	// provider routes are for those who may change what runs, within what is theirs: for application providers and administrators, also
	// those of the organisation.
	provider
	// streamEnd routes are for the cluster that was asked to come, proved by its certificate and the secret that it was told; they check
	// both by themselves.
	streamEnd
	// cluster routes are for the cluster whose id is in the path, proved by its certificate.
	cluster
)

// Keys of what authorize leaves in the context.
const (
	keyPrincipal = "principal"
	keyApp       = "application"
	keyService   = "service"
	keySecret    = "secret"
)

// authorize is the one place where it is decided who may do what. The names of a route's parameters tell what it is about:
//
//	:application, :service, :secret  have to be visible to the user; others are told that there is no such thing
//	:name                   has to be the user's own, but for administrators of an organisation: see [Root.subject]
//	:id                     of a cluster route has to be the cluster's own
//
// Administrators may do everything that users may.
func (r *Root) authorize(a access) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			switch a {
			case anyoneSecure, streamEnd:
			case cluster:
				id, ok := identity.PeerID(c.Request())
				if !ok {
					return httpapi.NewProblem(http.StatusUnauthorized, "no_certificate", "this needs the cluster's certificate over TLS")
				}
				if id != c.Param("id") {
					return httpapi.NewProblem(http.StatusForbidden, "wrong_cluster", "the certificate is of another cluster")
				}
			case user, organizationAdmin, admin, provider:
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
	if err := r.perUser.Take(c, p.ID); err != nil {
		return err
	}
	if a == admin && !p.IsAdmin() || a == organizationAdmin && !p.IsOrganizationAdmin() {
		return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "this is for administrators")
	}
	if a == provider && !mayProvide(p) {
		return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "this is for users with the role %s, and for administrators", users.RoleApplicationProvider)
	}
	for _, param := range c.ParamNames() {
		value := c.Param(param)
		switch param {
		case "application":
			err = r.own(c, p, keyApp, `SELECT a.id FROM application a WHERE `+visible+` AND a.id = $5 AND a.deleted_at IS NULL`, value)
		case "service":
			column := "s.id"
			if _, _, _, _, e := semantic.ParseJobName(value); e == nil {
				column = "s.job_name"
			}
			err = r.own(c, p, keyService, `SELECT s.id FROM service s JOIN application a ON a.id = s.application_id
				WHERE `+visible+` AND `+column+` = $5 AND s.deleted_at IS NULL ORDER BY a.owner_id <> $1 LIMIT 1`, value)
		case "secret":
			err = r.own(c, p, keySecret, `SELECT s.id FROM secret s WHERE ($2 OR s.organization_id = $3 AND ($4 OR s.owner_id = $1))
				AND (s.id = $5 OR s.name = $5 AND s.organization_id = $3) LIMIT 1`, value)
		case "name":
			if !p.IsOrganizationAdmin() && !isOwn(p, value) {
				err = httpapi.NewProblem(http.StatusForbidden, "not_allowed", "this is about another user")
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// visible is the condition under which an application a, and what is in it, is a user's to see and to change. Its parameters are those of
// [scope], the first four of a query.
const visible = `($2 OR a.organization_id = $3 AND ($4 OR a.owner_id = $1))`

// scope returns the parameters of [visible] and those that a query has besides: an administrator sees everything, that of an organisation
// what is in it, and others what is theirs in the organisation that they have logged in to.
func scope(p users.Principal, more ...any) []any {
	return append([]any{p.ID, p.IsAdmin(), p.OrganizationID, p.IsOrganizationAdmin()}, more...)
}

// mayProvide reports whether a user may use what is for providers.
func mayProvide(p users.Principal) bool {
	return p.IsOrganizationAdmin() || slices.Contains(p.Roles, users.RoleApplicationProvider)
}

// isOwn reports whether a user is named by his own name or id.
func isOwn(p users.Principal, name string) bool {
	return strings.EqualFold(name, p.Name) || name == p.ID
}

// own looks up the thing named in the path, if it is the user's, and leaves its id in the context.
func (r *Root) own(c echo.Context, p users.Principal, key, query, value string) error {
	var id string
	err := r.pool.QueryRow(c.Request().Context(), query, scope(p, value)...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound(key, value)
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", key, err)
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
