// SPDX-License-Identifier: Apache-2.0

// Package docs owns the rule that every command block of this repository's documents is run by a test, and the tests of those
// documents that belong to no other package. It has no code that programs use.
package docs

//go:generate go run ./generate
