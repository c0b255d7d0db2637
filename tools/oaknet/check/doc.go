// SPDX-License-Identifier: Apache-2.0

// Package check owns what is judged to be wrong with a worker's datapath, and what a person can do about it. It judges what
// tools/oaknet/inspect has read, asks the kernel about its clock, and tries the way to other workers with ICMP echoes.
//
// It knows nothing of maps or of how findings are shown.
package check
