// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

func (r *Root) login(c echo.Context) error {
	var body struct {
		Username     string `json:"username"`
		Password     string `json:"password"`
		Organization string `json:"organization_name"`
	}
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	right, wait := r.guesses.attempt(c.RealIP(), body.Organization+"\x00"+body.Username, time.Now())
	if wait > 0 {
		return tooManyGuesses(c, wait)
	}
	tokens, err := r.users.Login(c.Request().Context(), body.Organization, body.Username, body.Password)
	if !errors.Is(err, users.ErrCredentials) && !errors.Is(err, users.ErrOrganization) {
		right() // or nothing was learned
	}
	if err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, map[string]string{"token": tokens.Access, "refresh_token": tokens.Refresh})
}

func (r *Root) refresh(c echo.Context) error {
	token, err := bearer(c)
	if err != nil {
		return err
	}
	access, err := r.users.Refresh(c.Request().Context(), token)
	if err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, map[string]string{"token": access})
}

func (r *Root) logout(c echo.Context) error {
	if err := r.users.Logout(c.Request().Context(), principal(c)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, message("logged out"))
}

// userJSON is an account as clients see it; a password never leaves the store.
type userJSON struct {
	ID             oid      `json:"_id"`
	Name           string   `json:"name"`
	Email          string   `json:"email"`
	Roles          []string `json:"roles"`
	Organization   string   `json:"organization"`
	OrganizationID string   `json:"organization_id"`
}

func showUser(a users.Account) userJSON {
	return userJSON{ID: oid(a.ID), Name: a.Name, Email: a.Email, Roles: a.Roles, Organization: a.Organization, OrganizationID: a.OrganizationID}
}

func (r *Root) register(c echo.Context) error {
	var body struct {
		Name         string   `json:"name"`
		Password     string   `json:"password"`
		Email        string   `json:"email"`
		Roles        []string `json:"roles"`
		Organization string   `json:"organization_name"`
	}
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	switch known := []string{users.RoleAdmin, users.RoleOrganizationAdmin, users.RoleApplicationProvider, users.RoleInfrastructureProvider}; {
	case body.Name == "" || len(body.Name) > 100:
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "must have 1 to 100 bytes").At("$.name")
	case len(body.Email) > 320 || len(body.Organization) > 100:
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "too_long", "the address or the name of the organization is too long")
	case slices.ContainsFunc(body.Roles, func(role string) bool { return !slices.Contains(known, role) }):
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "unknown_role", "must be any of %v", known).At("$.roles")
	}
	a, err := r.users.Create(c.Request().Context(),
		users.Account{Name: body.Name, Email: body.Email, Roles: body.Roles, Organization: body.Organization}, body.Password)
	if err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, showUser(a))
}

func (r *Root) permission(c echo.Context) error {
	return r.oneUser(c, func(a users.Account) any { return map[string][]string{"roles": a.Roles} })
}

func (r *Root) getUser(c echo.Context) error {
	return r.oneUser(c, func(a users.Account) any { return showUser(a) })
}

func (r *Root) oneUser(c echo.Context, show func(users.Account) any) error {
	p := principal(c)
	// Whoever is no administrator was let in for his own name, which others may have in other organisations.
	if name := c.Param("name"); !p.IsAdmin() || p.Name == name || p.ID == name {
		return c.JSON(http.StatusOK, show(p.Account))
	}
	list, err := r.users.List(c.Request().Context())
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Name == c.Param("name") || a.ID == c.Param("name") {
			return c.JSON(http.StatusOK, show(a))
		}
	}
	return notFound("user", c.Param("name"))
}

func (r *Root) changePassword(c echo.Context) error {
	var body struct {
		Old string `json:"oldPassword"`
		New string `json:"newPassword"`
	}
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	p := principal(c)
	if !strings.EqualFold(c.Param("name"), p.Name) && c.Param("name") != p.ID {
		return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "a password is changed by its owner alone")
	}
	if err := r.users.ChangePassword(c.Request().Context(), p.ID, body.Old, body.New); err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, struct{}{})
}

func (r *Root) deleteUser(c echo.Context) error {
	if err := r.users.Delete(c.Request().Context(), c.Param("name")); err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, message("user deleted"))
}

func (r *Root) listUsers(c echo.Context) error {
	list, err := r.users.List(c.Request().Context())
	if err != nil {
		return err
	}
	out := make([]userJSON, 0, len(list))
	for _, a := range list {
		out = append(out, showUser(a))
	}
	return c.JSON(http.StatusOK, out)
}

func message(text string) map[string]string { return map[string]string{"message": text} }
