// SPDX-License-Identifier: Apache-2.0

// Package usage owns how full a map is and what memory the kernel has charged for it, whatever the map holds.
//
// It knows no map by name and reads keys and values as bytes.
package usage
