// SPDX-License-Identifier: Apache-2.0

// Package fleet owns many hollow workers: it starts them, has a seeded share of them misbehave, and keeps the times at which what
// one of them did reached the others. It knows nothing of processes and of what is measured.
package fleet
