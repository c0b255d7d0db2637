// SPDX-License-Identifier: Apache-2.0

// Package load owns the two processes between which traffic is measured, a server and a client, and what a measurement of
// theirs is: units of work, the processor time that they took, and how long each took.
//
// Both processes are pinned to one processor and make their system calls without Go's scheduler: every loop has a thread of
// its own that blocks in the kernel, so that Go adds next to nothing to the cost of a packet, and the same for everybody.
//
// Processor time is what the scheduler's clocks, exact to the nanosecond, say that the processes have used, together with the
// kernel's thread that finishes packets on that processor. Packets are handled on the time of whoever sends or finishes them,
// and without an idle processor that is always one of these: an idle-priority spinner takes the time that is left, and tells
// how much that was. What neither they nor it have used was taken by strangers, and is reported as such.
//
// The package knows nothing of namespaces' names, overlays and variants: it gets paths and addresses.
package load
