// SPDX-License-Identifier: Apache-2.0

// Package stream owns how bytes travel between a user and an instance: the messages of package wire on WebSockets, one a hop, spliced by
// the tiers between.
//
// Both ends give credit for what they have taken ([Endpoint]), so whoever is between never has to hold more than one message a direction,
// and everybody reads at once. That is why an unanswered ping means a dead peer and not a slow reader, and why a reader may pause for as
// long as it likes: the writer stands still meanwhile. Whoever gives no credit is given what the connections take, and is taken for dead
// when that stops.
//
// The package knows neither instances nor who may see them, and stores nothing.
package stream
