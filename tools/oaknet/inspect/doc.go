// SPDX-License-Identifier: Apache-2.0

// Package inspect owns what the entries of the pinned maps mean to a person: it joins them into services, backends, endpoints,
// nodes, flows and counters. Its types are what oak-net prints as JSON; their keys are stable.
//
// It only reads, and knows nothing of commands or tables.
package inspect
