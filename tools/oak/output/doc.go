// SPDX-License-Identifier: Apache-2.0

// Package output owns how oak shows what it has read: as a plain table, a wide one, JSON or YAML. It knows nothing of what
// the values mean.
package output
