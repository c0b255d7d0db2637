// SPDX-License-Identifier: Apache-2.0

// Package containerd owns the runtime for OCI containers, on containerd's own client.
//
// All that is needed to adopt a container after a restart of NodeEngine, or of the machine, is kept with the container:
// labels name the instance, an extension holds its specification. The package decides nothing: it does not know desired
// state, does not restart anything and does not touch the network beyond joining the namespace that it is given.
package containerd
