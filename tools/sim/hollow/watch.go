// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Copy names one generation of an instance.
type Copy struct {
	wire.InstanceKey
	Generation wire.Generation
}

// Watch is told what hollow workers do and hear. Its methods are called concurrently and with locks held: they must neither wait nor call a
// worker.
type Watch interface {
	// Up is called when a worker is about to say that a copy runs, its endpoint having been told before.
	Up(worker string, c Copy, at time.Time)
	// Down is called when a worker is about to say that a copy does not run any more.
	Down(worker string, c Copy, at time.Time)
	// Routed is called when a worker has heard of a route that it had not, Unrouted when one that it had is gone. wanted is since when the
	// worker has wanted routes of the service, zero if it does not.
	Routed(worker string, c Copy, wanted, at time.Time)
	Unrouted(worker string, c Copy, at time.Time)
	// Resolved is called when a worker has got routes of a service that it had none of, wanted being when it asked for them.
	Resolved(worker, service string, wanted, at time.Time)
}

// noWatch watches nothing.
type noWatch struct{}

func (noWatch) Up(string, Copy, time.Time)                    {}
func (noWatch) Down(string, Copy, time.Time)                  {}
func (noWatch) Routed(string, Copy, time.Time, time.Time)     {}
func (noWatch) Unrouted(string, Copy, time.Time)              {}
func (noWatch) Resolved(string, string, time.Time, time.Time) {}
