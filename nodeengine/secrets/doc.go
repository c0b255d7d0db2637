// SPDX-License-Identifier: Apache-2.0

// Package secrets owns how a worker comes by the values of secrets: it asks its cluster over TLS with the worker's certificate, and keeps
// what it got sealed on disk, with a key that is derived from the worker's private key, so that instances can be started anew while no tier
// above answers. A file of it is worth nothing on another machine.
//
// Values are handed to a runtime and to nobody else; no log line, error or report holds one. The package knows nothing of containers.
package secrets
