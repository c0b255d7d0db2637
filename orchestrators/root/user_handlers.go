// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// Bounds of what an account holds, in bytes. An address has 64 bytes before its @ and 255 behind (RFC 5321).
const (
	maxName  = 100
	maxEmail = 320
)

// checkUser checks what is to become of an account, as far as something is.
func checkUser(name, email *string, roles *[]string) error {
	if name != nil {
		if err := checkName(*name); err != nil {
			return err
		}
	}
	if email != nil && (len(*email) > maxEmail || !printable(*email)) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_email", "must have at most %d bytes, all printable", maxEmail).At("$.email")
	}
	if roles != nil {
		return checkRoles(*roles, "$.roles")
	}
	return nil
}

// checkName checks the name of a user or an organisation.
func checkName(name string) error {
	if name == "" || len(name) > maxName || !printable(name) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "must have 1 to %d bytes, all printable", maxName).At("$.name")
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func checkRoles(roles []string, path string) error {
	known := users.Roles()
	if slices.ContainsFunc(roles, func(role string) bool { return !slices.Contains(known, role) }) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "unknown_role", "must be any of %v", known).At(path)
	}
	return nil
}

// mayGrant keeps administrators of an organisation from making, or touching, those of the whole.
func mayGrant(p users.Principal, roles []string) error {
	for _, role := range []string{users.RoleAdmin, users.RoleInfrastructureProvider} { // both own machines, see mayOwn
		if !p.IsAdmin() && slices.Contains(roles, role) {
			return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "the role %s is for administrators to give and to take", role)
		}
	}
	return nil
}

// userChange is what becomes of a user; nil leaves something as it is.
type userChange struct {
	Name     *string   `json:"name"`
	Email    *string   `json:"email"`
	Roles    *[]string `json:"roles"`
	Password *string   `json:"password"`
	sentBack
}

// sentBack are fields that clients send back as they got them. They say what a thing is, not what is to become of it, and are passed over.
type sentBack struct {
	OID            json.RawMessage `json:"_id,omitempty"`
	ID             json.RawMessage `json:"applicationID,omitempty"`
	UserID         json.RawMessage `json:"userId,omitempty"`
	CreatedAt      json.RawMessage `json:"created_at,omitempty"`
	Organization   json.RawMessage `json:"organization,omitempty"`
	OrganizationID json.RawMessage `json:"organization_id,omitempty"`
}

// updateUser changes what the body names of a user. A new password ends his logins.
func (r *Root) updateUser(c echo.Context) error {
	var body userChange
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	if err := checkUser(body.Name, body.Email, body.Roles); err != nil {
		return err
	}
	a, err := r.administered(c)
	if err != nil {
		return err
	}
	if body.Roles != nil {
		if err := mayGrant(principal(c), *body.Roles); err != nil {
			return err
		}
	}
	a, err = r.users.Update(c.Request().Context(), a.ID, users.Change{Name: body.Name, Email: body.Email, Roles: body.Roles, Password: body.Password,
		Expect: func(old users.Account) error { return httpapi.IfMatch(c, showUser(old)) }})
	if err != nil {
		return userProblem(err)
	}
	return httpapi.Tagged(c, showUser(a))
}

// administered returns the user that the path names, if the asking one administrates him. Guests are administrated where they are at home.
func (r *Root) administered(c echo.Context) (users.Account, error) {
	a, err := r.subject(c)
	if err != nil {
		return a, err
	}
	p, organization := principal(c), ""
	if !p.IsAdmin() {
		organization = p.OrganizationID
	}
	// The account as it is at home: the asking one may be logged in elsewhere.
	if a, err = r.users.Find(c.Request().Context(), organization, a.ID); err != nil {
		return a, userProblem(err)
	}
	return a, mayGrant(p, a.Roles)
}

func (r *Root) deleteUser(c echo.Context) error {
	a, err := r.administered(c)
	if err != nil {
		return err
	}
	if err := r.users.Delete(c.Request().Context(), a.ID); err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, message("user deleted"))
}

// listUsers lists the users whose own organisation is the one in the path; without one, everybody for administrators, and for those of an
// organisation its own.
func (r *Root) listUsers(c echo.Context) error {
	p, organization := principal(c), c.Param("organization")
	switch {
	case p.IsAdmin():
	case organization == "":
		organization = p.OrganizationID
	case organization != p.OrganizationID:
		return httpapi.NewProblem(http.StatusForbidden, "not_allowed", "this is about another organization")
	}
	list, err := r.users.List(c.Request().Context(), organization)
	if err != nil {
		return err
	}
	out := make([]userJSON, 0, len(list))
	for _, a := range list {
		out = append(out, showUser(a))
	}
	if out, err = httpapi.Select(c, out, func(u userJSON) string { return strings.ToLower(u.Name) + "\n" + string(u.ID) }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}
