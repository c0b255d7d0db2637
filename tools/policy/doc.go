// SPDX-License-Identifier: Apache-2.0

// Package policy owns the rules of this repository that a compiler does not check, as tests: who may import whom, licence
// lines, package docs, names and sizes of files. It has no code that programs use.
package policy
