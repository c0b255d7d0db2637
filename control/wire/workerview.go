// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"time"
)

// WorkerMode says what a worker is to be used for.
type WorkerMode string

// The modes. The empty one is [WorkerOpen].
const (
	// WorkerOpen workers take instances.
	WorkerOpen WorkerMode = "open"
	// WorkerCordoned workers keep what they have and take nothing new.
	WorkerCordoned WorkerMode = "cordoned"
	// WorkerDrained workers take nothing new, and what they have goes to others: each instance once it serves there. One-shots end where
	// they are.
	WorkerDrained WorkerMode = "drained"
)

// Valid reports whether there is such a mode.
func (m WorkerMode) Valid() bool { return m == WorkerOpen || m == WorkerCordoned || m == WorkerDrained }

// WorkerOrder is what root's administrators want of a worker. The cluster owns the mode: it takes an order over if its stamp is higher than
// that of the last one that it took, so that one that is told again, or an older one, undoes nothing.
type WorkerOrder struct {
	WorkerID string `json:"worker_id"`
	// Stamp is that of the desired state that first held the order.
	Stamp  Stamp      `json:"stamp"`
	Mode   WorkerMode `json:"mode"`
	Reason string     `json:"reason,omitempty"`
}

// WorkerList is what a cluster tells of its workers when it is asked to.
type WorkerList struct {
	// Answers is the number of the question, as the desired state had it.
	Answers uint64 `json:"answers"`
	// Withheld says that the cluster tells root nothing of single workers.
	Withheld bool         `json:"withheld,omitempty"`
	Workers  []WorkerView `json:"workers,omitempty"`
}

// WorkerView is what a cluster tells of one worker.
type WorkerView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Status is "ready", "unavailable" or "lost"; Reason says why it takes nothing new.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Mode is what it is to be used for, ModeReason why, in the words of who said so.
	Mode       WorkerMode `json:"mode"`
	ModeReason string     `json:"mode_reason,omitempty"`
	// Instances counts what it has and is to keep, Leaving what it still has and is to stop or to hand over.
	Instances int `json:"instances"`
	Leaving   int `json:"leaving"`
	// Engine and Net say whether NodeEngine and NetManager are connected.
	Engine bool `json:"engine_connected"`
	Net    bool `json:"net_connected"`
	// LastSeen is when NodeEngine was last heard of.
	LastSeen     time.Time      `json:"last_seen"`
	Subnets      []netip.Prefix `json:"subnets"`
	Architecture string         `json:"architecture"`
	Runtimes     []string       `json:"runtimes"`
	// Capacity is what it has in all, Free what of that is not reserved.
	Capacity      Slot    `json:"capacity"`
	Free          Slot    `json:"free"`
	CPUPercent    float64 `json:"cpu_percent"`
	MemoryPercent float64 `json:"memory_percent"`
	DiskPercent   float64 `json:"disk_percent"`
	// Location is where the worker is; nil if unknown.
	Location *Location `json:"location,omitempty"`
	Version  string    `json:"version"`
}
