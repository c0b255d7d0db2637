// SPDX-License-Identifier: Apache-2.0

// Package netspace owns the network namespaces that instances run in: each is kept by a bind mount on a file named after its
// copy, so that it outlives processes and can be handed to NetManager before anything runs in it.
//
// The package sets up nothing inside but the loopback interface.
package netspace
