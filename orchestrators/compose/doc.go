// SPDX-License-Identifier: Apache-2.0

// Package compose owns the compositions that start orchestrators in containers, and what overrides them. It has no code that programs use: its
// tests hold the files against what both generations of docker-compose make of them.
package compose
