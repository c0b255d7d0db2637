// SPDX-License-Identifier: Apache-2.0

// Package overlay owns this project's side of the comparison: two workers with real NetManagers, and a scripted cluster that
// speaks with them over a real broker as a cluster orchestrator does. Containers are attached through the local API.
//
// It knows nothing of what NetManager does with what it is told, save that addresses appear in the pinned maps last.
package overlay
