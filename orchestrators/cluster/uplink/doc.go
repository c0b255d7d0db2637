// SPDX-License-Identifier: Apache-2.0

// Package uplink owns the cluster's side of the conversation with root: joining, the blocking query for desired state, and
// reports. It stores nothing and decides nothing.
package uplink
