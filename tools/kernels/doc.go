// SPDX-License-Identifier: Apache-2.0

// Package kernels owns running this repository's Go tests on kernels other than the machine's own: it fetches a distribution's
// kernel packages, cross-compiles test binaries, packs both with the init program of guest/ into an initial RAM file system, boots
// it under qemu's emulation, and reads from the console how each test went. It needs neither root nor KVM.
//
// It knows nothing of what the tests test.
package kernels
