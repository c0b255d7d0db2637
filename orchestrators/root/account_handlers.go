// SPDX-License-Identifier: Apache-2.0

package root

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

type loginBody struct {
	Username string `json:"username"`
	Password string `json:"password"`
	// Organization is root if empty. Clients know it by either name.
	Organization string `json:"organization_name"`
	AlsoCalled   string `json:"organization,omitempty"`
}

// tokensJSON answers a login with both, and a refresh with the first.
type tokensJSON struct {
	Access  string `json:"token"`
	Refresh string `json:"refresh_token,omitempty"`
}

func (r *Root) login(c echo.Context) error {
	var body loginBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	body.Organization = cmp.Or(body.Organization, body.AlsoCalled)
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
	return c.JSON(http.StatusOK, tokensJSON{tokens.Access, tokens.Refresh})
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
	return c.JSON(http.StatusOK, tokensJSON{Access: access})
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

type registerBody struct {
	Name         string   `json:"name"`
	Password     string   `json:"password"`
	Email        string   `json:"email"`
	Roles        []string `json:"roles"`
	Organization string   `json:"organization_name"`
	// CreatedAt is what clients say; the account is as old as it is.
	CreatedAt json.RawMessage `json:"created_at,omitempty"`
}

func (r *Root) register(c echo.Context) error {
	var body registerBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	if err := checkUser(&body.Name, &body.Email, &body.Roles); err != nil {
		return err
	}
	if len(body.Organization) > maxName || !printable(body.Organization) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "must have at most %d bytes, all printable", maxName).At("$.organization_name")
	}
	p := principal(c)
	if err := mayGrant(p, body.Roles); err != nil {
		return err
	}
	if !p.IsAdmin() {
		if body.Organization != "" && !strings.EqualFold(body.Organization, p.Organization) {
			return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "users of other organizations are for administrators").At("$.organization_name")
		}
		body.Organization = p.Organization
	}
	a, err := r.users.Create(c.Request().Context(),
		users.Account{Name: body.Name, Email: body.Email, Roles: body.Roles, Organization: body.Organization}, body.Password,
		func(tx pgx.Tx, a users.Account) error { return r.keepAnswer(c, tx, showUser(a)) })
	if err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, showUser(a))
}

type rolesJSON struct {
	Roles []string `json:"roles"`
}

func (r *Root) permission(c echo.Context) error {
	a, err := r.subject(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, rolesJSON{a.Roles})
}

func (r *Root) getUser(c echo.Context) error {
	a, err := r.subject(c)
	if err != nil {
		return err
	}
	return httpapi.Tagged(c, showUser(a))
}

// subject returns the user that the path names, if he is the asking one's to see: himself first, since others of that name may be in other
// organisations; for administrators of an organisation those whose own it is, and everybody for administrators.
func (r *Root) subject(c echo.Context) (users.Account, error) {
	p, name := principal(c), c.Param("name")
	if isOwn(p, name) {
		return p.Account, nil
	}
	organization := p.OrganizationID
	if p.IsAdmin() {
		organization = ""
	}
	a, err := r.users.Find(c.Request().Context(), organization, name)
	return a, userProblem(err)
}

type passwordBody struct {
	Old string `json:"oldPassword"`
	New string `json:"newPassword"`
}

func (r *Root) changePassword(c echo.Context) error {
	var body passwordBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	p := principal(c)
	if !isOwn(p, c.Param("name")) {
		return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "a password is changed by its owner alone")
	}
	if err := r.users.ChangePassword(c.Request().Context(), p.ID, body.Old, body.New); err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, struct{}{})
}

// messageJSON says that something was done, where there is nothing to tell.
type messageJSON struct {
	Message string `json:"message"`
}

func message(text string) messageJSON { return messageJSON{text} }
