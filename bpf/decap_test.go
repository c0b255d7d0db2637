// SPDX-License-Identifier: Apache-2.0

package bpf

import "testing"

// TestEveryKernelsWayLoads: what the verifier leaves out for one kind of kernel it has to take for the other.
func TestEveryKernelsWayLoads(t *testing.T) {
	for _, on := range []Kernel{{}, {DecapL3: true}, {CardDecap: true}, {DecapL3: true, CardDecap: true}} {
		newKernelOn(t, pairing{}, on)
	}
}
