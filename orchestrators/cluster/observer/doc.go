// SPDX-License-Identifier: Apache-2.0

// Package observer owns the cluster's answers to workers' hellos: by them a worker behind a NAT learns at which address and port others
// see it, and so two workers, each behind one of its own, find one another.
//
// It answers known workers only, each question with one answer of the same length, and keeps no more than a little of each worker.
// It knows neither routes nor peers, and does not tell anybody what it has seen but the one who asks.
package observer
