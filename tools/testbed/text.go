// SPDX-License-Identifier: Apache-2.0

package testbed

import "strings"

// indent sets each line of s off by four spaces.
func indent(s string) string {
	if s == "" {
		return "    (nothing was logged)"
	}
	return "    " + strings.ReplaceAll(s, "\n", "\n    ")
}
