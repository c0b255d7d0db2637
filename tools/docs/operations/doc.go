// SPDX-License-Identifier: Apache-2.0

// Package operations owns the tests that type what the documents tell operators to type, on the hosts of a testbed: backup and restore,
// upgrades, tokens, maintenance of workers, looking for faults, and moving here from the original. It has no code that programs use.
package operations
