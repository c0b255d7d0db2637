// SPDX-License-Identifier: Apache-2.0

// Package httpapi owns what the HTTP side of every orchestrator has in common: the Echo instance with its limits, the form
// of errors, health and metrics, and the listener that speaks TLS and plain on one port.
//
// It knows no route of its own but health and metrics, and nothing of users or tiers.
package httpapi
