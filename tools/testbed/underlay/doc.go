// SPDX-License-Identifier: Apache-2.0

// Package underlay owns the network that the testbed's hosts stand on: one network namespace a host, one more that holds a
// bridge, a veth pair from each host to the bridge, and one from the machine itself.
//
// The bridge has a namespace of its own, so that neither the machine's firewall nor its bridge netfilter settings touch
// what passes between hosts, and so that deleting that namespace leaves nothing behind. The package knows nothing of the
// programs that run in the hosts, nor of the overlay that they build.
package underlay
