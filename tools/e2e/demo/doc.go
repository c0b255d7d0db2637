// SPDX-License-Identifier: Apache-2.0

// Package demo owns the story that "make demo" tells: from nothing to an application whose client is answered over the eBPF
// overlay, step by step with the cost of each, and to nothing again. It fails with the name of the step, the log to read and
// what that log complains of.
package demo
