// SPDX-License-Identifier: Apache-2.0

// Package runtime owns the interface between the agent, which decides what has to run, and what runs it: containers today;
// microVMs, unikernels and WebAssembly behind the same interface.
//
// A runtime keeps all that is needed to adopt a running copy with the copy itself, so that it survives the death of its
// caller. It does not know desired state, generations' order or the network; it is handed a network namespace.
package runtime
