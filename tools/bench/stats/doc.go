// SPDX-License-Identifier: Apache-2.0

// Package stats owns the statistics of a benchmark whose variants take turns in rounds: ratios of two variants are made
// within each round, so that what changes slowly on a machine cancels out, and are averaged by their logarithms.
package stats
