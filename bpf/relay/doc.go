// SPDX-License-Identifier: Apache-2.0

// Package relay owns a bad network for tests: it carries Ethernet frames between two interfaces late, or loses those of one way.
//
// It stands in for the kernel's netem, which small kernels lack. It lies here because the testbed and the dataplane's tests both
// use it, and neither may import the other; it knows nothing of BPF, and no worker runs it.
package relay
