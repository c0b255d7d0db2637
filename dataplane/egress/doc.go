// SPDX-License-Identifier: Apache-2.0

// Package egress owns the one nftables table, oakestra, through which containers reach what is outside the overlay: it
// masquerades the worker's subnets towards everything else. Overlay traffic never passes through it.
//
// The package knows nothing of endpoints or programs. It works on the network namespace of the calling thread.
package egress
