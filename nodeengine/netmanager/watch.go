// SPDX-License-Identifier: Apache-2.0

package netmanager

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// pollInterval is how often NetManager is asked for its state: soon enough to hand its identity to one that came back.
const pollInterval = 2 * time.Second

// firstPoll is how often it is asked until it is ready for the first time: a new worker waits for it.
const firstPoll = 200 * time.Millisecond

// Watch keeps NetManager supplied with the worker's identity and knows whether instances can be attached.
type Watch struct {
	client   *Client
	identity atomic.Pointer[wire.LocalIdentity]
	log      *slog.Logger
	handed   *wire.LocalIdentity // the identity that was accepted since this process started: certificate or brokers may be newer than stored
	ready    atomic.Bool
	reason   atomic.Pointer[string]
	used     atomic.Pointer[wire.HostPorts]
}

// NewWatch returns a watch; Run does the work.
func NewWatch(c *Client, id wire.LocalIdentity, log *slog.Logger) *Watch {
	w := &Watch{client: c, log: log}
	w.identity.Store(&id)
	w.setReason("NetManager was not asked yet")
	return w
}

// SetIdentity has NetManager be handed another identity, with its next look.
func (w *Watch) SetIdentity(id wire.LocalIdentity) { w.identity.Store(&id) }

// Ready reports whether NetManager answered, when last asked, that instances can be attached; the text says why not.
func (w *Watch) Ready() (bool, string) { return w.ready.Load(), *w.reason.Load() }

// UsedPorts returns the host ports that the worker's own processes had when NetManager last answered.
func (w *Watch) UsedPorts() wire.HostPorts {
	if used := w.used.Load(); used != nil {
		return *used
	}
	return wire.HostPorts{}
}

func (w *Watch) setReason(s string) { w.reason.Store(&s) }

// Run asks every 2 s until ctx ends, faster until NetManager is ready for the first time. onChange is called, off no lock,
// whenever it becomes ready, comes back after a silence, or stops being ready.
func (w *Watch) Run(ctx context.Context, onChange func(ready bool)) {
	pause := firstPoll
	for ctx.Err() == nil {
		err := w.ask(ctx)
		was := w.ready.Swap(err == nil)
		if err != nil {
			w.setReason(err.Error())
		} else {
			w.setReason("")
			pause = pollInterval
		}
		if was != (err == nil) {
			if err != nil {
				w.log.Warn("overlay is not ready: instances wait to be attached, running ones go on", "error", err)
			} else {
				w.log.Info("overlay is ready")
			}
			onChange(err == nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// ask returns nil if NetManager has our identity and is ready.
func (w *Watch) ask(ctx context.Context) error {
	s, err := w.client.Status(ctx)
	if err != nil {
		return err
	}
	if id := w.identity.Load(); w.handed != id || s.WorkerID != id.WorkerID {
		if err := w.client.PutIdentity(ctx, *id); err != nil {
			return fmt.Errorf("hand NetManager its identity: %w", err)
		}
		w.handed = id
		if s, err = w.client.Status(ctx); err != nil {
			return err
		}
	}
	w.used.Store(&s.UsedPorts)
	if !s.Ready {
		return fmt.Errorf("NetManager is not ready: %s", s.Reason)
	}
	return nil
}
