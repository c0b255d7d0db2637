// SPDX-License-Identifier: Apache-2.0

// Package session owns what a run has measured so far: finished rounds on disk, under the name of what was measured, so that a
// run that was broken off goes on where it was.
package session
