// SPDX-License-Identifier: Apache-2.0

// Package root owns the root orchestrator: users' applications, services and instances, their addresses, and which cluster
// has which instance. It serves the REST API and the conversation with the clusters; see [Root].
//
// It sees a cluster only as the aggregate that the cluster reports. It knows no worker and dials nobody.
//
// Every change of an instance's place or state happens in one transaction, under one advisory lock (see place.go), and is
// acknowledged after its commit. So any number of root processes may serve one database.
package root
