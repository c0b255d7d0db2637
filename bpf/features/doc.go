// SPDX-License-Identifier: Apache-2.0

// Package features owns the record of what the datapath found in the kernel and what it makes do with instead, pinned beside a
// worker's maps so that it can be read while NetManager is dead, and by tools of another build.
//
// It knows nothing of how a feature is probed, nor of what the programs do with it.
package features
