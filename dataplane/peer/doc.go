// SPDX-License-Identifier: Apache-2.0

// Package peer owns what this worker knows of other workers: the maps peers, peer_addrs and sources, and the hello packets by
// which two workers find out at which address the other one really is.
//
// It takes the list of peers from the cluster's messages and received hellos from whoever reads the programs' ring buffer. It may
// not know MQTT, services, routes or containers, and never decides that a peer is gone: it removes what a full list lacks once
// nothing uses it.
package peer
