// SPDX-License-Identifier: Apache-2.0

// Package cli owns the command oak-bench: its flags, what it prints, and the course of a run.
package cli
