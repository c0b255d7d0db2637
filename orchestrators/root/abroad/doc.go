// SPDX-License-Identifier: Apache-2.0

// Package abroad owns what root passes on between clusters so that their workers reach one another: it stores what each says of its
// overlay (see [Store]) and derives what each has to know of the others (see [View]).
//
// What a cluster says is held against what root itself knows: instances count only in the cluster and under the placement that root has
// given them, with the addresses that root has given them, on workers within the subnets that root has leased to that cluster. The package
// knows no HTTP and waits for nothing.
package abroad
