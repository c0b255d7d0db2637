// SPDX-License-Identifier: Apache-2.0

// Package wire owns every message that one tier of Oakestra sends to another: its Go type, its JSON form and the topic
// or path that it travels on. One file holds one conversation.
//
// The package imports nothing of this project and knows neither transport nor storage. All messages carry state, never
// commands: a receiver that applies one twice, late, or after missing ten others ends in the same place. Each starts with
// a [Header], whose stamp says which of two messages of one topic is newer.
package wire
