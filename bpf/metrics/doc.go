// SPDX-License-Identifier: Apache-2.0

// Package metrics owns what a worker's maps tell as Prometheus metrics: their names, labels and help. NetManager serves them, and
// oak-net prints the same from the pinned maps while NetManager is dead.
//
// It only reads maps, and knows nothing of NetManager's own life.
package metrics
