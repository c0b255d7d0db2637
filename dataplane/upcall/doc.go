// SPDX-License-Identifier: Apache-2.0

// Package upcall owns packets that the programs do not know what to do with: the first ones to a service address or Instance IP that this
// worker has not looked up yet, and those from an instance that it does not know yet. It reads them whole, segmentation and checksum offload
// included, from the far end of the pair that the programs redirect to, holds them while the cluster is asked, and writes them back in the order
// in which they came; then the programs judge them again.
//
// It never decides where a packet goes and drops nothing: what cannot be answered is written back as well, so that the programs count why. It
// knows the maps vips and sources as a reader, and the rest of NetManager only by the functions of its [Config].
package upcall
