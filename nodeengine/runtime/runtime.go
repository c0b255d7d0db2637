// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// ErrNotFound is returned for a copy that the runtime does not have.
var ErrNotFound = errors.New("no such copy in the runtime")

// Phase is how far a copy has come.
type Phase string

// The phases of a copy.
const (
	// PhaseIncomplete is a copy whose creation was interrupted, or that a reboot has stopped: remove it and create it anew.
	PhaseIncomplete Phase = "incomplete"
	// PhaseRunning is a copy that runs.
	PhaseRunning Phase = "running"
	// PhaseExited is a copy whose process has ended.
	PhaseExited Phase = "exited"
	// PhaseCompleted is an exited copy that was marked, by Complete, not to run again.
	PhaseCompleted Phase = "completed"
)

// Exit is how a copy ended.
type Exit struct {
	Code uint32
	At   time.Time
	// OutOfMemory says that the kernel killed a process of the copy because of its memory limit.
	OutOfMemory bool
}

// Copy is what a runtime has of an instance.
type Copy struct {
	Instance
	Phase Phase
	// Exit is set for PhaseExited and PhaseCompleted.
	Exit Exit
	// StartedAt is when the copy was created; the zero time if unknown.
	StartedAt time.Time
}

// Usage is what a copy uses.
type Usage struct {
	// CPU is the processor time used since the copy started.
	CPU time.Duration
	// MemoryBytes is the memory charged, less page cache that can be dropped at once.
	MemoryBytes int64
}

// Runtime runs instances of one kind. Methods may be called concurrently, but for one copy one at a time, save Wait.
// Every method gives up with its context.
type Runtime interface {
	// Pull makes the image of spec present. It wraps [ImageError] where a person has to act.
	Pull(ctx context.Context, spec wire.InstanceSpec) error
	// Create makes a copy ready to start in the network namespace of a path, which may be empty so far. Remains of an earlier attempt with the
	// same id are replaced.
	Create(ctx context.Context, in Instance, namespace string) error
	// Start starts a created copy, whose lookups nameserver answers; the invalid address if nobody does.
	Start(ctx context.Context, id string, nameserver netip.Addr) error
	// Wait returns when a started copy has ended; [ErrNotFound] if there is none.
	Wait(ctx context.Context, id string) (Exit, error)
	// Complete frees what an exited copy holds and remembers that it is not to run again.
	Complete(ctx context.Context, id string, exit Exit) error
	// Remove ends a copy, first kindly, and leaves nothing of it but its log. No copy is no error.
	Remove(ctx context.Context, id string) error
	// DropLog deletes the log of a copy. No log is no error.
	DropLog(id string) error
	// List returns all copies.
	List(ctx context.Context) ([]Copy, error)
	// Inspect returns one copy; [ErrNotFound] if there is none.
	Inspect(ctx context.Context, id string) (Copy, error)
	// Usage returns the use of all running copies by id.
	Usage(ctx context.Context) (map[string]Usage, error)
}
