// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// decode reads a message and refuses one of a newer format; what runs goes on as it is.
func decode[M any](payload []byte, header func(*M) wire.Header) (M, error) {
	var m M
	if err := json.Unmarshal(payload, &m); err != nil {
		return m, fmt.Errorf("decode: %w", err)
	}
	return m, header(&m).Check()
}

// observe notes the cluster's epoch. A newer one means that the cluster may have forgotten what it was told: it is told anew.
func (a *Agent) observe(epoch uint64) {
	for {
		seen := a.seenEpoch.Load()
		if epoch <= seen {
			return
		}
		if a.seenEpoch.CompareAndSwap(seen, epoch) {
			if seen != 0 {
				a.log.Info("the cluster has a new epoch: telling it everything again", "epoch", epoch)
			}
			a.publish.endpoints()
			a.publish.interest()
			return
		}
	}
}

func (a *Agent) onPeers(_ context.Context, payload []byte) error {
	m, err := decode(payload, func(m *wire.NetPeers) wire.Header { return m.Header })
	if err != nil {
		return err
	}
	o := a.overlay.Load()
	if o == nil {
		return nil // asked for again as soon as there is one
	}
	defer a.observe(m.Epoch)
	m, ok := a.peers.merge(m)
	if !ok {
		a.publish.interest() // whose answer is the whole list
		return nil
	}
	err = o.peers.Apply(m)
	if o.peers.Held() == m.Stamp {
		a.stored.peers(m) // although one entry may be wrong: the others were applied
	}
	return err
}

func (a *Agent) onRoutes(_ context.Context, payload []byte) error {
	m, err := decode(payload, func(m *wire.NetRoutes) wire.Header { return m.Header })
	if err != nil {
		return err
	}
	o := a.overlay.Load()
	if o == nil {
		return nil
	}
	defer a.observe(m.Epoch)
	defer a.stored.routes()
	return o.routes.Apply(m)
}

func (a *Agent) onResolved(_ context.Context, payload []byte) error {
	m, err := decode(payload, func(m *wire.NetResolved) wire.Header { return m.Header })
	if err != nil {
		return err
	}
	defer a.observe(m.Epoch)
	err = a.names.Resolved(m)
	if o := a.overlay.Load(); o != nil {
		err = errors.Join(err, o.routes.Resolved(m))
	}
	return err
}
