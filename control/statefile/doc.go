// SPDX-License-Identifier: Apache-2.0

// Package statefile owns how a worker's programs keep what they last applied: small JSON files that a power cut finds
// either old or new, never half written; and, of what is too large to be written at each change, a journal of the changes.
//
// The package knows nothing of what is in the files. Files are readable by their owner alone, since some hold keys.
package statefile
