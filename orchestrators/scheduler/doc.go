// SPDX-License-Identifier: Apache-2.0

// Package scheduler owns the choice of a place for one instance: it filters candidates, scores those that are left and
// explains each refusal in a person's words. Both tiers use it: root on aggregates of clusters, a cluster on its workers.
//
// Its functions are pure. It knows neither storage nor transport, keeps nothing between calls, and reserves nothing by
// itself: the caller takes the placement into its store and subtracts it from the candidate with [Candidate.Reserve].
package scheduler
