// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
)

// DefaultCapacity is what a hollow worker has unless told otherwise.
var DefaultCapacity = wire.Slot{VCPUs: 16, MemoryMB: 32 << 10, StorageMB: 256 << 10}

// LargeCapacity is that of workers that never are full.
var LargeCapacity = wire.Slot{VCPUs: 256, MemoryMB: 1 << 20, StorageMB: 1 << 20}

// DefaultJoining is how many workers join at the same time.
const DefaultJoining = 16

// Options say what a fleet is like.
type Options struct {
	// Cluster is HOST:PORT of the cluster's API, Token one that all workers may join with.
	Cluster, Token string
	// Workers is how many there are, Prefix what their names begin with.
	Workers int
	Prefix  string
	// Shares are the parts of the workers, 0 to 1, that are of a kind other than steady.
	Shares map[hollow.Kind]float64
	// Seed decides which ones, and all else that is left to chance.
	Seed uint64
	// Create and Every are those of [hollow.Behaviour].
	Create, Every time.Duration
	// Capacity is each worker's; [DefaultCapacity] if zero.
	Capacity wire.Slot
	// Joining is how many join at the same time; [DefaultJoining] if zero.
	Joining int
	Log     *slog.Logger
}

// Fleet is a number of hollow workers.
type Fleet struct {
	// Workers are in the order of their names.
	Workers []*hollow.Worker
	// Times are what was measured between them.
	Times *Times
	// Traffic is what their connections carry.
	Traffic *hollow.Traffic
}

// kinds deals the kinds out: as many of each as its share says, to whom the seed says.
func (o *Options) kinds() []hollow.Kind {
	all := make([]hollow.Kind, o.Workers)
	order := rand.New(rand.NewPCG(o.Seed, 1)).Perm(o.Workers)
	for _, k := range hollow.Kinds() {
		n := min(int(o.Shares[k]*float64(o.Workers)+0.5), len(order))
		for _, i := range order[:n] {
			all[i] = k
		}
		order = order[n:]
	}
	for _, i := range order {
		all[i] = hollow.Steady
	}
	return all
}

// Start has all workers join. It returns once they have; their sessions come up by themselves. The first that is refused ends the others.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	f := &Fleet{Workers: make([]*hollow.Worker, o.Workers), Times: NewTimes(), Traffic: &hollow.Traffic{}}
	group, joining := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(o.Joining, DefaultJoining))
	capacity := o.Capacity
	if capacity == (wire.Slot{}) {
		capacity = DefaultCapacity
	}
	for i, kind := range o.kinds() {
		group.Go(func() (err error) {
			if joining.Err() != nil {
				return context.Cause(joining)
			}
			var watch hollow.Watch = f.Times
			if kind != hollow.Steady && kind != hollow.Crashing {
				watch = lateListener{f.Times} // it hears late because it is made to
			}
			f.Workers[i], err = hollow.Start(joining, hollow.Options{Cluster: o.Cluster, Token: o.Token,
				Name: fmt.Sprintf("%s%05d", cmp.Or(o.Prefix, "hollow-"), i), Capacity: capacity, Watch: watch, Traffic: f.Traffic, Log: o.Log,
				Behaviour: hollow.Behaviour{Kind: kind, Seed: o.Seed + uint64(i)*0x9e3779b97f4a7c15, Create: o.Create, Every: o.Every}})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Connected counts the workers both of whose sessions are up.
func (f *Fleet) Connected() (n int) {
	for _, w := range f.Workers {
		if w != nil && w.Connected() {
			n++
		}
	}
	return n
}

// Running counts the containers that run.
func (f *Fleet) Running() (n int) {
	for _, w := range f.Workers {
		n += len(w.Running())
	}
	return n
}

// Close ends all workers, in turn at most as many at a time as joined.
func (f *Fleet) Close() {
	var group errgroup.Group
	group.SetLimit(64)
	for _, w := range f.Workers {
		if w != nil {
			group.Go(func() error { w.Close(); return nil })
		}
	}
	_ = group.Wait()
}
