// SPDX-License-Identifier: Apache-2.0

// Package localapi owns NetManager's local HTTP API: what NodeEngine calls over a Unix socket, or, if a port is given, over
// loopback TCP with a token, and the metrics.
//
// It checks who calls, decodes and encodes; what a call does is its [Backend]'s.
package localapi
