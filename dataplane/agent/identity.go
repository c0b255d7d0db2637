// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/endpoint"
	"github.com/oakestra/oakestra-ebpf/dataplane/localapi"
)

// setIdentity takes what NodeEngine hands over, stores it and opens the session with it. The same again changes nothing; a
// new certificate or broker of the same worker is taken over; another worker's is refused.
func (a *Agent) setIdentity(ctx context.Context, id wire.LocalIdentity) error {
	if err := checkIdentity(id); err != nil {
		return fmt.Errorf("%w: %w", endpoint.ErrInvalid, err)
	}
	a.sessions.Lock()
	defer a.sessions.Unlock()
	a.known.Lock()
	have := a.identity
	a.known.Unlock()
	if have != nil {
		if have.WorkerID != id.WorkerID {
			return fmt.Errorf("%w: this NetManager belongs to worker %s, not %s: to change that, stop it, detach its containers and empty %s",
				localapi.ErrConflict, have.WorkerID, id.WorkerID, a.cfg.StateDir)
		}
		if sameIdentity(*have, id) {
			return nil
		}
	}
	if err := a.state.write(identityFile, id); err != nil {
		return err
	}
	a.known.Lock()
	a.identity = &id
	a.known.Unlock()
	a.log.Info("identity accepted", "worker", id.WorkerID, "brokers", id.Brokers)
	if err := a.dialSession(ctx, id); err != nil {
		return err
	}
	a.configuring.Lock()
	defer a.configuring.Unlock()
	return a.configure(ctx)
}

func sameIdentity(a, b wire.LocalIdentity) bool {
	return a.WorkerID == b.WorkerID && a.Certificate == b.Certificate && a.Key == b.Key && a.CA == b.CA && slices.Equal(a.Brokers, b.Brokers)
}

// checkIdentity refuses what could never open a session.
func checkIdentity(id wire.LocalIdentity) error {
	if _, err := bpf.ParseID(id.WorkerID); err != nil {
		return fmt.Errorf("worker_id: %w", err)
	}
	if len(id.Brokers) == 0 {
		return errors.New("brokers: at least one is needed")
	}
	if _, err := pki.ClientTLS([]byte(id.Certificate), []byte(id.Key), []byte(id.CA)); err != nil {
		return err
	}
	return nil
}
