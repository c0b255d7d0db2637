// SPDX-License-Identifier: Apache-2.0

// Package hollow owns hollow workers: workers of which only the talk is real. One joins its cluster with a token over HTTPS, keeps the
// MQTT sessions of a NodeEngine and of a NetManager, and says in them what those say, when those would say it; its containers
// and its overlay are numbers. Thousands fit into one process.
//
// The package knows the messages of control/wire and nothing of how an orchestrator treats them.
package hollow
