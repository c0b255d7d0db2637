// SPDX-License-Identifier: Apache-2.0

// Package pgtest gives tests a real Postgres: a private server from the distribution's binaries, in a folder of its own,
// on a Unix socket. It is for tests alone and imports nothing of this project.
package pgtest
