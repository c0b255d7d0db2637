// SPDX-License-Identifier: Apache-2.0

// Package probe owns how a workload is asked how it is: one question by command, HTTP or TCP, bounded in time whatever the workload
// does with it, and the verdict that follows from several answers in a row.
//
// It knows no containers and decides nothing: it is handed a [Target] and tells verdicts. What a command or a server answers beyond
// success or failure is never kept: it may hold what nobody else is to see.
package probe
