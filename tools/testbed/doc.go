// SPDX-License-Identifier: Apache-2.0

// Package testbed owns a whole Oakestra on one machine: hosts that are network namespaces, an underlay between them, a
// registry, a private Postgres, the orchestrators, and on each worker a containerd, a NodeEngine and a NetManager, all of
// them real. It starts and ends them, injects faults, and cleans up whatever an earlier run has left, however that one ended.
//
// There is one testbed on a machine at a time, since the names of namespaces and links are the machine's. The package
// starts programs and reads what they say of their health; it knows nothing of what they do inside.
package testbed
