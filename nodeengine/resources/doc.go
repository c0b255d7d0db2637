// SPDX-License-Identifier: Apache-2.0

// Package resources owns what a worker tells of its machine: architecture, processors, memory, disk and their use.
//
// It reports capacity; what is reserved or free is the cluster's to know.
package resources
