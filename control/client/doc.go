// SPDX-License-Identifier: Apache-2.0

// Package client owns the client's side of root's REST API, for the command line and for tests: login and its renewal,
// applications, services, instances and clusters.
//
// Every refusal is an [*Error] with the server's status, code, path and detail. Calls that may be repeated without harm are,
// with back-off, a bounded number of times; so are those that create something, with a key by which root carries them out once; the others
// never. The package keeps no files and prints nothing: who owns the
// tokens is told of new ones.
package client
