// SPDX-License-Identifier: Apache-2.0

// Package datapath owns what of the overlay lives in the kernel: it loads the programs, attaches and upgrades them, pins
// programs' links and maps, does without what bpf/probe does not find in the kernel, and expires flows.
//
// It knows nothing of clusters or messages: others fill the maps. Closing it leaves everything in place, so that packets go on
// while NetManager is away.
package datapath
