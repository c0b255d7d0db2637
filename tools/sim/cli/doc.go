// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of oak-sim: hollow workers for a cluster that runs, and the benchmark of the control plane.
package cli
