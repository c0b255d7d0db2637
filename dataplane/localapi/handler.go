// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of a call.
const (
	maxBody     = 1 << 20 // bytes
	callTimeout = 10 * time.Second
)

// NewHandler returns the API. metrics serves /metrics and may be nil. It does not check who calls: [ServeUnix] and
// [ServeTCP] do.
func NewHandler(b Backend, metrics http.Handler, log *slog.Logger) http.Handler {
	h := &handler{b: b, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+wire.PathLocalIdentity, h.identity)
	mux.HandleFunc("GET "+wire.PathLocalEndpoints, h.list)
	mux.HandleFunc("PUT "+wire.PathLocalEndpoints, h.attach)
	mux.HandleFunc("DELETE "+wire.PathLocalEndpoint, h.detach)
	mux.HandleFunc("GET "+wire.PathLocalNames, func(w http.ResponseWriter, _ *http.Request) { h.answer(w, http.StatusOK, b.Names()) })
	mux.HandleFunc("GET "+wire.PathLocalStatus, func(w http.ResponseWriter, _ *http.Request) { h.answer(w, http.StatusOK, b.Status()) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	return h.guard(mux)
}

type handler struct {
	b   Backend
	log *slog.Logger
}

// guard bounds body and time, and survives a panic of one call.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				h.log.Error("a local API call failed unexpectedly", "path", r.URL.Path, "panic", p)
				h.refuse(w, http.StatusInternalServerError, fmt.Errorf("%s %s failed unexpectedly: see NetManager's log", r.Method, r.URL.Path))
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (h *handler) identity(w http.ResponseWriter, r *http.Request) {
	var in wire.LocalIdentity
	if !h.decode(w, r, &in) {
		return
	}
	if err := h.b.SetIdentity(r.Context(), in); err != nil {
		h.refuse(w, statusOf(err), err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *handler) list(w http.ResponseWriter, _ *http.Request) {
	list := h.b.Endpoints()
	if list == nil {
		list = []wire.LocalEndpoint{}
	}
	h.answer(w, http.StatusOK, list)
}

func (h *handler) attach(w http.ResponseWriter, r *http.Request) {
	var in wire.LocalAttach
	if !h.decode(w, r, &in) {
		return
	}
	out, err := h.b.Attach(r.Context(), in)
	if err != nil {
		h.refuse(w, statusOf(err), err)
		return
	}
	h.answer(w, http.StatusOK, out)
}

func (h *handler) detach(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 31)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, fmt.Errorf("instance number %q is no number from 0", r.PathValue("number")))
		return
	}
	g, err := parseGeneration(r.URL.Query().Get("generation"))
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err)
		return
	}
	key := wire.InstanceKey{ServiceID: r.PathValue("id"), Number: int(number)}
	if err := h.b.Detach(r.Context(), key, g); err != nil {
		h.refuse(w, statusOf(err), err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// parseGeneration reads PLACEMENT.MOVE.
func parseGeneration(s string) (wire.Generation, error) {
	left, right, ok := strings.Cut(s, ".")
	p, errP := strconv.ParseUint(left, 10, 32)
	m, errM := strconv.ParseUint(right, 10, 32)
	if !ok || errP != nil || errM != nil {
		return wire.Generation{}, fmt.Errorf("query parameter generation is %q: want PLACEMENT.MOVE, such as 1.2", s)
	}
	return wire.Generation{Placement: uint32(p), Move: uint32(m)}, nil
}

// decode answers itself if it returns false. Unknown fields are ignored: NodeEngine may be newer.
func (h *handler) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err == nil {
		return true
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		h.refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit))
	} else {
		h.refuse(w, http.StatusBadRequest, fmt.Errorf("decode the body: %w", err))
	}
	return false
}

func (h *handler) refuse(w http.ResponseWriter, status int, err error) {
	h.answer(w, status, wire.LocalError{Error: err.Error(), Elsewhere: elsewhere(err)})
}

func (h *handler) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.log.Debug("cannot answer a local API call", "error", err)
	}
}
