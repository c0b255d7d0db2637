// SPDX-License-Identifier: Apache-2.0

// Package doctor owns what is looked at on a machine that is, or is to be, a root, a cluster's or a worker's device, what can be wrong
// there, why that matters, and which command cures it. It judges from what the kernel, the programs that run here and their neighbours
// answer; it changes nothing, needs no login, and spends no token.
//
// A finding is made by one check and has one kind, which [Kinds] lists; README.md beside this file has them in words. Checks run side by
// side, each with a time-out. What follows from another finding is left out, so that what is shown is what has to be cured.
//
// It knows nothing of how findings are shown: that is tools/oak/cli.
package doctor

//go:generate go run ./generate
