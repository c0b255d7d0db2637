// SPDX-License-Identifier: Apache-2.0

// Package trial owns the setups of a run and single measurements on them: it builds what a plan names, starts a server and a
// client for each slice, and repeats a slice that strangers disturbed.
package trial
