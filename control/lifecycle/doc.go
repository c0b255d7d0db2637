// SPDX-License-Identifier: Apache-2.0

// Package lifecycle owns the states of an instance: which may follow which, who has to move an instance out of each, within what time,
// and what happens when that time is up. Worker, cluster and root hold what they tell and what they are told against it.
//
// The table is about one generation of an instance; a higher generation is another copy and begins anew.
package lifecycle
