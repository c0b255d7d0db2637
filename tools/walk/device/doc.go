// SPDX-License-Identifier: Apache-2.0

// Package device owns machines that are made of namespaces: each has a network, a disk, processes, mounts, control groups and a
// host name of its own, so that programs run on several of them as they would on several machines, with the paths that a page
// names. A device is fresh: nothing of Oakestra or Docker is on it but Debian's packages, which it shares with the machine.
//
// Everything on a device ends with it, and it ends with the process that made it, however that ends. It knows nothing of what
// runs on it.
package device
