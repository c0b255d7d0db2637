// SPDX-License-Identifier: Apache-2.0

// Package scheduler owns the choice of a place for one instance: it filters candidates, orders those that are left, reserves on the chosen
// one, and explains in a person's words. Both tiers use it: root on aggregates of clusters, a cluster on its workers.
//
// A [Pool] holds the candidates. It is made for many placements in a row: what a request asks of a candidate's kind (architecture, runtime,
// add-ons, places, …) is looked at once for all requests alike, a class of requests, so that a placement is one walk over amounts that lie
// side by side in memory. Every walk looks at every candidate: the answer is exact, the same for the same input, and the counts of the
// explanation are over all of them.
//
// The package is pure: it knows neither storage nor transport nor the time. A pool is not safe for concurrent use.
package scheduler
