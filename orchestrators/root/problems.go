// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

var errDatabaseAway = errors.New("the database does not answer")

func notFound(what, id string) error {
	return httpapi.NewProblem(http.StatusNotFound, "not_found", "there is no %s %s, or it is not yours", what, id)
}

func conflict(code, format string, args ...any) error {
	return httpapi.NewProblem(http.StatusConflict, code, format, args...)
}

// descriptorProblem tells a user what is wrong with his descriptor.
func descriptorProblem(err error) error {
	var faults sla.ValidationErrors
	var fault *sla.ValidationError
	if !errors.As(err, &fault) {
		// Not JSON at all.
		return httpapi.NewProblem(http.StatusBadRequest, "broken_json", "the descriptor is not JSON: %v", err)
	}
	p := httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_descriptor", "%s", fault.Reason).At(fault.Path)
	if errors.As(err, &faults) {
		for _, f := range faults {
			p.Errors = append(p.Errors, httpapi.Fault{Path: f.Path, Reason: f.Reason})
		}
	}
	return p
}

// addressProblem tells a user why the address at path was refused.
func addressProblem(err error, path string) error {
	var outside *addresses.OutsideError
	var taken *addresses.TakenError
	var full *addresses.FullError
	switch {
	case errors.As(err, &outside):
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "address_out_of_range", "%v", outside).At(path)
	case errors.As(err, &taken):
		return httpapi.NewProblem(http.StatusConflict, "address_taken", "%v", taken).At(path)
	case errors.As(err, &full):
		return httpapi.NewProblem(http.StatusInsufficientStorage, "pool_full", "%v", full)
	}
	return err
}

func userProblem(err error) error {
	var member *users.NoMemberError
	switch {
	case errors.Is(err, users.ErrToken):
		return httpapi.NewProblem(http.StatusUnauthorized, "invalid_token", "%v", users.ErrToken)
	case errors.Is(err, users.ErrCredentials):
		return httpapi.NewProblem(http.StatusUnauthorized, "wrong_credentials", "%v", users.ErrCredentials)
	case errors.Is(err, users.ErrOrganization):
		return httpapi.NewProblem(http.StatusNotFound, "not_found", "%v", users.ErrOrganization)
	case errors.Is(err, users.ErrNotFound):
		return httpapi.NewProblem(http.StatusNotFound, "not_found", "%v", users.ErrNotFound)
	case errors.Is(err, users.ErrOrganizationExists):
		return conflict("organization_exists", "%v", users.ErrOrganizationExists)
	case errors.Is(err, users.ErrOrganizationInUse):
		return conflict("organization_in_use", "%v", users.ErrOrganizationInUse)
	case errors.Is(err, users.ErrRootOrganization):
		return conflict("root_organization", "%v", users.ErrRootOrganization)
	case errors.Is(err, users.ErrLastAdmin):
		return conflict("last_admin", "%v", users.ErrLastAdmin)
	case errors.As(err, &member):
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "unknown_user", "is no user's id (GET /api/users)").
			At(fmt.Sprintf("$.member[%d].user_id", member.Index))
	case errors.Is(err, users.ErrAmbiguous):
		return conflict("ambiguous_user", "%v", users.ErrAmbiguous)
	case errors.Is(err, users.ErrExists):
		return conflict("user_exists", "%v", users.ErrExists)
	case errors.Is(err, users.ErrWeak):
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "weak_password", "%v", users.ErrWeak).At("$.password")
	}
	return err
}
