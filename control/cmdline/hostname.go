// SPDX-License-Identifier: Apache-2.0

package cmdline

import "os"

// Hostname returns this machine's name as the default of a flag, or "" if the kernel does not tell it: a program that cannot
// do without refuses that by the flag's name.
func Hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
