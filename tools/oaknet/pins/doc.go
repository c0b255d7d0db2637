// SPDX-License-Identifier: Apache-2.0

// Package pins owns where a worker's datapath lies in a BPF file system: which workers there are, where their maps are, and which
// programs hang on which interfaces. It only reads, and needs no running NetManager.
//
// It knows nothing of what the maps hold.
package pins
