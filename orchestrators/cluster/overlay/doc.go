// SPDX-License-Identifier: Apache-2.0

// Package overlay owns what the workers of a cluster are told about one another: routes of services, peers, and answers to
// the addresses that they ask for. It is the control plane's hot path: an answer costs no storage and no waiting.
//
// [Core] is pure: facts go in (which copies of which instances are placed where, what endpoints a worker has, what a worker
// wants), messages come out. [Plane] guards it with a lock, spaces what is not urgent and hands messages to a publisher. The
// package knows neither Postgres nor MQTT, and schedules nothing.
package overlay
