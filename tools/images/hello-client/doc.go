// SPDX-License-Identifier: Apache-2.0

// Command hello-client is a sample workload that does nothing until it is told to: started without arguments it waits; run
// again in its container with a subcommand it calls a server and prints what it has seen as JSON.
//
//	hello-client get URL [-n N]                  N requests, a new connection each
//	hello-client rate URL [-per-second N] [-seconds S]
//	hello-client download URL                    one long answer: gaps, retransmissions
//	hello-client udp-burst ADDR:PORT [-n N]      N datagrams back to back
//	hello-client ping ADDR [-n N]                ICMP echo
//	hello-client lookup NAME [-type T] [-tcp] [-until D]   ask the resolver of the container
package main
