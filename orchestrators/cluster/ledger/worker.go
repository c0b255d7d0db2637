// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Worker is what a cluster knows of one worker.
type Worker struct {
	ID, Name string
	Subnets  []netip.Prefix

	// Info is what it last reported; its stamp is zero while it has not.
	Info wire.Information
	// Engine and Net are the last words of its two programs.
	Engine, Net wire.Alive

	// Order is what the worker is to be used for; the zero value is open.
	Order wire.WorkerOrder

	lastSeen    time.Time // of NodeEngine
	goneSince   time.Time // zero while NodeEngine is present
	heardEngine bool
	// here is since when it was there without a break.
	here time.Time
	// instances and desired are the stamps of its last report and of its desired state as last published.
	instances, desired wire.Stamp
	// settled is true once all that runs there is known since this process started.
	settled bool
	// coordinate is where measured round trips put it; nil while there are none. It is not stored.
	coordinate *wire.Coordinate
}

// PutWorker makes a worker known. What was seen of it is kept. One that is not fresh may run instances that the ledger does not
// know: while it has not told them, nothing is placed for the length of the grace period.
func (l *Ledger) PutWorker(id, name string, subnets []netip.Prefix, fresh bool) {
	w := l.workers[id]
	if w == nil {
		w = &Worker{ID: id, lastSeen: l.options.Start, here: l.options.Start, settled: fresh}
		l.workers[id] = w
	}
	w.Name, w.Subnets = name, subnets
}

// Workers returns the ids of all workers, sorted.
func (l *Ledger) Workers() []string { return sortedKeys(l.workers) }

// Worker returns a copy of what is known of a worker.
func (l *Ledger) Worker(id string) (Worker, bool) {
	w := l.workers[id]
	if w == nil {
		return Worker{}, false
	}
	return *w, true
}

// SeeInformation takes in a worker's report of itself. It reports whether that may change what can be placed.
func (l *Ledger) SeeInformation(id string, m wire.Information, now time.Time) (significant bool) {
	w := l.workers[id]
	if w == nil || m.Compare(w.Info.Stamp) < 0 {
		return false
	}
	cleanInformation(&m)
	significant = w.away(now, l.options) != ""
	significant = significant || w.Info.Capacity != m.Capacity || w.Info.Overlay != m.Overlay || w.Info.Architecture != m.Architecture ||
		!slices.Equal(w.Info.Runtimes, m.Runtimes) || !slices.Equal(w.Info.Addons, m.Addons) || !slices.Equal(w.Info.VolumeDrivers, m.VolumeDrivers)
	w.Info = m
	w.hear(now, l.options)
	return significant
}

// SeeEngine takes in that NodeEngine is there or gone. It reports whether that is news.
func (l *Ledger) SeeEngine(id string, m wire.Alive, now time.Time) (news bool) {
	w := l.workers[id]
	if w == nil || m.Session < w.Engine.Session || (w.heardEngine && m.Session == w.Engine.Session && m.Present && !w.Engine.Present) {
		return false // of an older session, or a present that its own gone has overtaken
	}
	news = !w.heardEngine || m.Present != w.Engine.Present
	if m.Present && (!w.heardEngine || m.Session != w.Engine.Session) {
		w.here = now // another life, or the same after a break
	}
	w.Engine, w.heardEngine = m, true
	if m.Present {
		w.hear(now, l.options)
		w.goneSince = time.Time{}
	} else if w.goneSince.IsZero() {
		w.goneSince = now
	}
	return news
}

// Away notes that until now nobody could hear any worker for d, such as while this process was held or had no broker: that time counts
// against none of them.
func (l *Ledger) Away(d time.Duration, now time.Time) {
	later := func(t time.Time) time.Time {
		if t = t.Add(d); t.After(now) {
			return now
		}
		return t
	}
	for _, w := range l.workers {
		w.lastSeen = later(w.lastSeen)
		if !w.goneSince.IsZero() {
			w.goneSince = later(w.goneSince)
		}
	}
}

// SeeNet takes in that NetManager is there or gone; a gone of an older session is ignored.
func (l *Ledger) SeeNet(id string, m wire.Alive) {
	if w := l.workers[id]; w != nil && m.Session >= w.Net.Session {
		w.Net = m
	}
}

func (w *Worker) hear(now time.Time, o Options) {
	if _, gone := w.goneAt(now, o); gone {
		w.here = now
	}
	w.lastSeen = now
	if !w.Engine.Present && w.heardEngine {
		return // its will has been read: only a new session revives it
	}
	w.goneSince = time.Time{}
}

// goneAt returns since when the worker is gone, and whether it is.
func (w *Worker) goneAt(now time.Time, o Options) (time.Time, bool) {
	if !w.goneSince.IsZero() {
		return w.goneSince, true
	}
	return w.lastSeen, now.Sub(w.lastSeen) > o.Silent
}

// lost reports whether the worker is gone for so long that its instances go to others.
func (w *Worker) lost(now time.Time, o Options) bool {
	since, gone := w.goneAt(now, o)
	return gone && now.Sub(since) > o.LostAfter
}

// unavailable says why nothing new may be placed on the worker now, or returns "".
func (w *Worker) unavailable(now time.Time, o Options) string {
	if reason := w.away(now, o); reason != "" {
		return reason
	}
	return w.closed()
}

// away says why nothing can be placed on the worker now, whatever is wanted of it, or returns "".
func (w *Worker) away(now time.Time, o Options) string {
	since, gone := w.goneAt(now, o)
	switch {
	case w.Info.IsZero():
		return "has not reported its resources since the cluster orchestrator started"
	case gone:
		return "has not been heard of since " + since.UTC().Format(time.RFC3339)
	case !w.Info.Overlay:
		return "its NetManager does not answer, so that nothing can be attached to the overlay"
	}
	return ""
}

// Status says in a word how a worker is: "ready", "unavailable" or "lost", and why it takes nothing new. One that is merely meant to take
// nothing is ready.
func (l *Ledger) Status(id string, now time.Time) (status, reason string) {
	w := l.workers[id]
	switch {
	case w == nil:
		return "unknown", ""
	case w.lost(now, l.options):
		return "lost", w.away(now, l.options)
	case w.away(now, l.options) != "":
		return "unavailable", w.away(now, l.options)
	}
	return "ready", w.closed()
}
