// SPDX-License-Identifier: Apache-2.0

package device

// Names of the devices. All begin with oak-, as those of containers do.
const (
	// Upcall0 carries the program that takes packets back from NetManager; what programs redirect to it shows at Upcall1.
	Upcall0 = "oak-up0"
	// Upcall1 is where NetManager reads and writes.
	Upcall1 = "oak-up1"
	// Host has the worker's gateway address: it is how the host itself appears to containers.
	Host = "oak-host"
	// HostFar is the other end of Host.
	HostFar = "oak-host1"
	// Tunnel is the VXLAN-GPE device. It only holds the UDP port, so that the kernel coalesces received packets.
	Tunnel = "oak-vx0"
)

// upcallMTU lets every packet through that a container can send: the pair leads into a program, not onto a wire.
const upcallMTU = 65535
