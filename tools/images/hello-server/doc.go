// SPDX-License-Identifier: Apache-2.0

// Command hello-server is a sample workload: an HTTP server that tells its name and whom it sees, sends as much as is asked
// for, and echoes datagrams with the order in which they came.
//
//	GET /                      who answers, and the caller's address
//	GET /download?bytes=N      N bytes; with &rate=R at R bytes a second
//	udp                        each datagram back, with its place among those of its sender
package main
