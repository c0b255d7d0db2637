// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"context"
	"encoding/json"
	"runtime"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// runEngine sends what NodeEngine sends.
func (w *Worker) runEngine(ctx context.Context) {
	w.mu.Lock()
	first := w.chance.around(informationInterval)
	w.mu.Unlock()
	info := time.NewTimer(first) // spread, since real workers start at any time
	defer info.Stop()
	full := time.NewTicker(fullInterval)
	defer full.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-full.C:
			w.wantFull()
		case <-info.C:
			info.Reset(informationInterval)
			w.inform(ctx)
		case <-w.tell:
			if !w.engine.session.Connected() {
				continue // the connect brings everything
			}
			if !sleep(ctx, coalesce) {
				return
			}
			if w.takeHurry() {
				w.inform(ctx)
			}
			if err := w.report(ctx); err != nil && ctx.Err() == nil {
				w.log.Debug("states are not sent", "worker", w.opts.Name, "error", err)
				if !sleep(ctx, sendRetry) {
					return
				}
				w.wantFull()
			}
		}
	}
}

// wantFull has everything told, as upon a connect.
func (w *Worker) wantFull() {
	w.mu.Lock()
	w.box.full = true
	w.mu.Unlock()
	signal(w.tell)
}

// takeHurry reports whether the worker has yet to say what it has.
func (w *Worker) takeHurry() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.box.full
}

func (w *Worker) inform(ctx context.Context) {
	if !w.engine.session.Connected() {
		return
	}
	w.mu.Lock()
	running := w.box.running()
	w.mu.Unlock()
	capacity := w.opts.Capacity
	m := wire.Information{Header: w.header(), Name: w.opts.Name, Architecture: runtime.GOARCH, Runtimes: []string{"container"}, Capacity: capacity,
		CPUPercent: min(100, 2+float64(running)), MemoryPercent: min(100, 10+float64(running)), DiskPercent: 20, Overlay: w.over.ready.Load(),
		Location: w.opts.Location, Version: "hollow"}
	if err := w.send(ctx, &w.engine, wire.TopicInformation, m); err != nil && ctx.Err() == nil {
		w.log.Debug("information is not sent", "worker", w.opts.Name, "error", err)
	}
}

// report tells what has changed, or everything if that is due.
func (w *Worker) report(ctx context.Context) error {
	w.mu.Lock()
	m, due := w.box.report()
	w.mu.Unlock()
	if !due {
		return nil
	}
	m.Header = w.header()
	return w.send(ctx, &w.engine, wire.TopicInstances, m)
}

// onDesired takes in what the cluster wants. An empty payload says nothing.
func (w *Worker) onDesired(_ string, payload []byte) {
	var d wire.Desired
	if len(payload) == 0 {
		return
	}
	if err := json.Unmarshal(payload, &d); err != nil || d.Check() != nil {
		w.log.Error("desired state is not understood", "worker", w.opts.Name, "error", err)
		return
	}
	w.mu.Lock()
	wait := w.chance.hear()
	w.mu.Unlock()
	if wait > 0 {
		time.AfterFunc(wait, func() { w.apply(&d) })
		return
	}
	w.apply(&d)
}
