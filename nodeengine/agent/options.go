// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Network is what gives an instance its addresses.
type Network interface {
	// Attach is asked again with the same generation at any time, which changes nothing.
	Attach(ctx context.Context, a wire.LocalAttach) (wire.LocalEndpoint, error)
	// Detach ends this generation and lower ones; none is no error.
	Detach(ctx context.Context, k wire.InstanceKey, g wire.Generation) error
	Endpoints(ctx context.Context) ([]wire.LocalEndpoint, error)
}

// Namespaces makes network namespaces; see package netspace.
type Namespaces interface {
	Create(ctx context.Context, id string) (path string, err error)
	Remove(id string) error
	List() ([]string, error)
	// Dial connects to a TCP port at the own addresses of the namespace.
	Dial(ctx context.Context, id string, port uint16) (net.Conn, error)
}

// Options are what an agent works with.
type Options struct {
	// Runtimes by the descriptor's virtualization.
	Runtimes   map[string]runtime.Runtime
	Network    Network
	Namespaces Namespaces
	// StateDir keeps the desired state, so that a worker starts its workloads with all tiers above away.
	StateDir string
	// FirstBackOff and LastBackOff bound the pause before something is tried again; 0 is 100 ms and 30 s.
	FirstBackOff, LastBackOff time.Duration
	// Stable is how long a workload has to run for its next crash to count as the first; 0 is 30 s.
	Stable time.Duration
	// FailWithin is for how long steps may fail before another worker should be looked for; 0 is [lifecycle.FailWithin].
	FailWithin time.Duration
	// CutOff says what becomes of instances when the cluster is away for too long.
	CutOff CutOff
	Log    *slog.Logger
}

// failsUntilFailed is how many failed steps in a row are still told as an instance being created; after that it is FAILED, and is tried
// on.
const failsUntilFailed = 5

// Time-outs of single steps. Pulling has its own, in the runtime.
const (
	attachTimeout = 15 * time.Second
	createTimeout = 60 * time.Second
	removeTimeout = 60 * time.Second
	listTimeout   = 30 * time.Second
)

func (o *Options) setDefaults() {
	if o.FirstBackOff == 0 {
		o.FirstBackOff = 100 * time.Millisecond
	}
	if o.LastBackOff == 0 {
		o.LastBackOff = 30 * time.Second
	}
	if o.Stable == 0 {
		o.Stable = 30 * time.Second
	}
	if o.FailWithin == 0 {
		o.FailWithin = lifecycle.FailWithin
	}
	if o.CutOff.Check == 0 {
		o.CutOff.Check = cutOffCheck
	}
	if o.CutOff.Settle == 0 {
		o.CutOff.Settle = settleTime
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// backOff returns the pause after the n-th failure in a row, n ≥ 1.
func (o *Options) backOff(n int) time.Duration { return backOff(o.FirstBackOff, o.LastBackOff, n) }

// backOff doubles from first up to last, with jitter downward by up to a quarter.
func backOff(first, last time.Duration, n int) time.Duration {
	d := first
	for ; n > 1 && d < last; n-- {
		d *= 2
	}
	d = min(d, last)
	return d - rand.N(d/4+1)
}
