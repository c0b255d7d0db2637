// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// resets collects instances that are gone, so that who says so does not wait until their flows have ended. There are no more than have a
// place in the map of backends at a time.
type resets struct {
	kick chan struct{}

	mu   sync.Mutex
	gone []bpf.Owner
}

func newResets() *resets { return &resets{kick: make(chan struct{}, 1)} }

func (r *resets) add(gone []bpf.Owner) {
	r.mu.Lock()
	r.gone = append(r.gone, gone...)
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

func (r *resets) take() []bpf.Owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := r.gone
	r.gone = nil
	return gone
}

// resetFlows ends the flows of instances that are gone, as soon as they are, until ctx ends. It begins with what an earlier NetManager has left
// undone.
func (a *Agent) resetFlows(ctx context.Context, r *resets) {
	if err := a.dp.ResetForsaken(); err != nil {
		a.log.Warn("cannot reset all flows of instances that went before the start; each ends with its next packet", "error", err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		}
		if err := a.dp.ResetBackends(r.take()...); err != nil {
			a.log.Warn("cannot reset all flows of instances that are gone; each ends with its next packet", "error", err)
		}
	}
}
