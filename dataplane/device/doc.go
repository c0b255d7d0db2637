// SPDX-License-Identifier: Apache-2.0

// Package device owns the network devices that a worker's dataplane needs in its host's network namespace, apart from the
// containers' own: the upcall pair, the host's own pair with the gateway address and the tunnel's kernel device.
//
// Everything is idempotent: a device that is already as it should be is not touched, since a restart must not disturb a
// packet. Nothing is ever removed. The package knows nothing of programs, maps or clusters. It works on the network namespace
// of the calling thread.
package device
