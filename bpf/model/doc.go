// SPDX-License-Identifier: Apache-2.0

// Package model says what the programs of package bpf do to a packet, in plain Go and without the kernel: from the same tables it
// predicts the verdict, the reason of a drop, every byte that comes out, and how the flows change. It is written from what the programs
// are for, not from their text, so that a fuzzer can hold the one against the other.
//
// Where programs are free (which of equals is chosen, which other port a flow gets) it takes what they did as an answer to a question,
// and checks that it was allowed. It leaves out what depends on the time of day, rates and time-outs, and connections of the host's own
// processes, of which a test run has none.
package model
