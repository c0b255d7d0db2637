// SPDX-License-Identifier: Apache-2.0

// Package lab owns what a benchmark borrows from the machine: network namespaces, links between them, a BPF file system and
// processes pinned to one processor. All of it carries a name of its own, is taken away at the end, and goes at the next
// start if the end did not come; only one lab is open on a machine at a time.
//
// It knows nothing of what the namespaces stand for.
package lab
