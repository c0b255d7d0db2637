// SPDX-License-Identifier: Apache-2.0

// Package expose owns the ports of the worker's own addresses under which the outside reaches local instances: which instance has
// which, that none is given out on which a process of the host listens, and that the host takes none of them for a connection of
// its own.
//
// The package knows endpoints only as the list that it is shown, and the programs only as something that takes a table of ports.
// It works on the network namespace of the calling thread.
package expose
