// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// maxMembers bounds what one request says of an organisation.
const maxMembers = 10_000

// organizationJSON is an organisation as clients know it.
type organizationJSON struct {
	ID      oid          `json:"_id"`
	Name    string       `json:"name"`
	Members []memberJSON `json:"member"`
}

type memberJSON struct {
	UserID string   `json:"user_id"`
	Name   string   `json:"name,omitempty"`
	Roles  []string `json:"roles"`
}

func showOrganization(o users.Organization) organizationJSON {
	out := organizationJSON{ID: oid(o.ID), Name: o.Name, Members: make([]memberJSON, 0, len(o.Members))}
	for _, m := range o.Members {
		out.Members = append(out.Members, memberJSON{UserID: m.UserID, Name: m.Name, Roles: m.Roles})
	}
	return out
}

// organizationBody is what a request says of an organisation; nil leaves something as it is.
type organizationBody struct {
	Name    *string       `json:"name"`
	Members *[]memberJSON `json:"member"`
	// OID is sent back by clients as they got it, and passed over.
	OID json.RawMessage `json:"_id,omitempty"`
}

func readOrganization(c echo.Context) (name *string, members *[]users.Member, err error) {
	var body organizationBody
	if err := httpapi.Decode(c, &body); err != nil {
		return nil, nil, err
	}
	if body.Name != nil {
		if err := checkName(*body.Name); err != nil {
			return nil, nil, err
		}
	}
	if body.Members == nil {
		return body.Name, nil, nil
	}
	if len(*body.Members) > maxMembers {
		return nil, nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "too_many_members", "must be at most %d", maxMembers).At("$.member")
	}
	list := make([]users.Member, 0, len(*body.Members))
	for i, m := range *body.Members {
		if err := checkRoles(m.Roles, fmt.Sprintf("$.member[%d].roles", i)); err != nil {
			return nil, nil, err
		}
		list = append(list, users.Member{UserID: m.UserID, Roles: m.Roles})
	}
	return body.Name, &list, nil
}

func (r *Root) listOrganizations(c echo.Context) error {
	list, err := r.users.Organizations(c.Request().Context(), "")
	if err != nil {
		return err
	}
	out := make([]organizationJSON, 0, len(list))
	for _, o := range list {
		out = append(out, showOrganization(o))
	}
	if out, err = httpapi.Select(c, out, func(o organizationJSON) string { return strings.ToLower(o.Name) }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// getOrganization shows one organisation, with the entity tag that a change of it can be made to depend on.
func (r *Root) getOrganization(c echo.Context) error {
	list, err := r.users.Organizations(c.Request().Context(), c.Param("organization"))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return userProblem(users.ErrOrganization)
	}
	return httpapi.Tagged(c, showOrganization(list[0]))
}

func (r *Root) createOrganization(c echo.Context) error {
	name, members, err := readOrganization(c)
	if err != nil {
		return err
	}
	if name == nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "is missing").At("$.name")
	}
	o := users.Organization{Name: *name}
	if members != nil {
		o.Members = *members
	}
	o, err = r.users.CreateOrganization(c.Request().Context(), o, func(tx pgx.Tx, o users.Organization) error { return r.keepAnswer(c, tx, showOrganization(o)) })
	if err != nil {
		return userProblem(err)
	}
	return httpapi.Tagged(c, showOrganization(o))
}

func (r *Root) updateOrganization(c echo.Context) error {
	name, members, err := readOrganization(c)
	if err != nil {
		return err
	}
	o, err := r.users.UpdateOrganization(c.Request().Context(), c.Param("organization"),
		func(old users.Organization) error { return httpapi.IfMatch(c, showOrganization(old)) }, name, members)
	if err != nil {
		return userProblem(err)
	}
	return httpapi.Tagged(c, showOrganization(o))
}

func (r *Root) deleteOrganization(c echo.Context) error {
	if err := r.users.DeleteOrganization(c.Request().Context(), c.Param("organization")); err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, message("organization deleted"))
}
