// SPDX-License-Identifier: Apache-2.0

// Package mqtt owns one MQTT 3.1.1 session of a program: it connects, and connects again for ever, renews subscriptions
// and hands messages on in order. It is a thin layer over paho.
//
// Sessions are clean and messages travel with QoS 1: a broker that restarts, or a network that comes back, is followed by
// [Options.OnConnect], where a program sends its state anew. The package does not know what messages mean.
package mqtt
