// SPDX-License-Identifier: Apache-2.0

// Package plan owns what is compared: the variants, the sorts of traffic, which of them belong to which part of a run, and in
// which order a round has them. It is pure.
package plan
