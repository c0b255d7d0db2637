// SPDX-License-Identifier: Apache-2.0

// Package probe owns what the datapath wants of a kernel: each feature, the first version that has it, what is done without it, and how to
// ask the running kernel whether it is there.
//
// It needs no programs of this project, and leaves nothing in the kernel. How what it finds is kept for others is
// [github.com/oakestra/oakestra-ebpf/bpf/features].
package probe
