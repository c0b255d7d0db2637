// SPDX-License-Identifier: Apache-2.0

// Package uplink owns the conversation of a worker with its cluster over MQTT: desired state down; information, states of
// instances and signs of life up.
//
// It keeps nothing: what is wanted and what runs is the agent's to know, and after every connect all of it is sent anew.
package uplink
