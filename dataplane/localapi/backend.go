// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/endpoint"
	"github.com/oakestra/oakestra-ebpf/dataplane/expose"
)

// Backend does what the API is asked for.
type Backend interface {
	// SetIdentity stores the worker's identity; the same again changes nothing.
	SetIdentity(context.Context, wire.LocalIdentity) error
	Attach(context.Context, wire.LocalAttach) (wire.LocalEndpoint, error)
	Detach(context.Context, wire.InstanceKey, wire.Generation) error
	Endpoints() []wire.LocalEndpoint
	Names() []wire.LocalName
	Status() wire.LocalStatus
}

// ErrConflict is wrapped by errors of a [Backend] that refuses because of what it holds already.
var ErrConflict = errors.New("conflict")

// elsewhere reports whether another worker may be able to do what this one refuses.
func elsewhere(err error) bool {
	return errors.Is(err, endpoint.ErrFull) || errors.Is(err, expose.ErrTaken)
}

// statusOf returns the HTTP status of an error of the backend.
func statusOf(err error) int {
	for _, k := range []struct {
		err    error
		status int
	}{
		{endpoint.ErrInvalid, http.StatusBadRequest},
		{expose.ErrInvalid, http.StatusBadRequest},
		{endpoint.ErrStale, http.StatusConflict},
		{expose.ErrTaken, http.StatusConflict},
		{ErrConflict, http.StatusConflict},
		{endpoint.ErrNotReady, http.StatusServiceUnavailable},
		{endpoint.ErrFull, http.StatusInsufficientStorage},
		{context.DeadlineExceeded, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, k.err) {
			return k.status
		}
	}
	return http.StatusInternalServerError
}
