// SPDX-License-Identifier: Apache-2.0

// Package hello owns the packets by which workers, and their cluster, tell one another where they are: their form, the key that signs
// them, and the tunnel header before them.
//
// It knows neither sockets nor who greets whom and when, and keeps nothing.
package hello
