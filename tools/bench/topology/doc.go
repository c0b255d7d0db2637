// SPDX-License-Identifier: Apache-2.0

// Package topology owns two workers, the underlay between them and containers on them, wired in the ways that are compared:
// hosts alone, routed containers, such behind programs that do the least, and bridges with kernel VXLAN and kube-proxy's rules.
//
// Each way gets what makes it fastest without giving up what it is for: super-packets and checksums are left to the devices
// unless a measurement asks otherwise, neighbours of the VXLAN device are static as flannel's are, and connection tracking has
// room. MTUs are what each way's own installer would choose on an underlay of 1,500 bytes.
package topology
