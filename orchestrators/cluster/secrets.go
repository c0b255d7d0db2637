// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// maxHeldSecrets bounds the values that are held for when root is away.
const maxHeldSecrets = 4096

// secretName names a version of a secret.
type secretName struct {
	organization, name string
	version            int
}

// heldSecrets are the values that root has told, in memory alone: what runs here can so be moved to another worker while root is away.
type heldSecrets struct {
	mu     sync.Mutex
	values map[secretName][]byte
}

func (h *heldSecrets) put(n secretName, value []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.values == nil {
		h.values = map[secretName][]byte{}
	}
	for old := range h.values {
		if len(h.values) < maxHeldSecrets {
			break
		}
		delete(h.values, old)
	}
	h.values[n] = value
}

func (h *heldSecrets) get(n secretName) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	value, ok := h.values[n]
	return value, ok
}

func (h *heldSecrets) drop(n secretName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.values, n)
}

// ownWorker lets only the worker through whose id is in the path, by its certificate.
func ownWorker(next echo.HandlerFunc) echo.HandlerFunc {
	return func(ec echo.Context) error {
		id, ok := identity.PeerID(ec.Request())
		switch {
		case !ok:
			return httpapi.NewProblem(http.StatusUnauthorized, "no_certificate", "this needs the worker's certificate over TLS")
		case id != ec.Param("id"):
			return httpapi.NewProblem(http.StatusForbidden, "wrong_worker", "the certificate is of another worker")
		}
		return next(ec)
	}
}

// workerSecret tells a worker the value of a secret to which an instance refers that is placed there now.
func (c *Cluster) workerSecret(ec echo.Context) error {
	var in wire.SecretRequest
	if err := httpapi.DecodeLoose(ec, &in); err != nil {
		return err
	}
	worker := ec.Param("id")
	c.mu.Lock()
	may := c.ledger.MayKnow(worker, in.Organization, in.Name, in.Version)
	c.mu.Unlock()
	if !may {
		c.log.Warn("worker asks for a secret that is not its own", "worker", worker, "secret", in.Name, "version", in.Version)
		return httpapi.NewProblem(http.StatusForbidden, "secret_refused", "no instance that is placed on this worker refers to version %d of secret %q", in.Version, in.Name)
	}
	value, err := c.askSecret(ec.Request().Context(), &in)
	if err != nil {
		return err
	}
	ec.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return ec.JSON(http.StatusOK, wire.SecretResponse{Format: wire.Format, Value: value})
}

// askSecret gets a value from root, or one that root has told before while it does not answer. What root refuses is forgotten.
func (c *Cluster) askSecret(ctx context.Context, in *wire.SecretRequest) ([]byte, error) {
	name := secretName{in.Organization, in.Name, in.Version}
	client := c.client.Load()
	err := errors.New("root has not taken this cluster in yet")
	if client != nil {
		var answer wire.SecretResponse
		if answer, err = client.Secret(ctx, &wire.SecretRequest{Format: wire.Format, Organization: in.Organization, Name: in.Name, Version: in.Version}); err == nil {
			c.held.put(name, answer.Value)
			return answer.Value, nil
		}
	}
	var refused *uplink.Refusal
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests {
		c.held.drop(name)
		return nil, httpapi.NewProblem(http.StatusForbidden, "secret_refused", "%v", refused)
	}
	if value, ok := c.held.get(name); ok {
		return value, nil
	}
	return nil, httpapi.NewProblem(http.StatusServiceUnavailable, "root_away", "secret %q cannot be asked for: %v", in.Name, err)
}
