// SPDX-License-Identifier: Apache-2.0

package load

// Spin takes whatever processor time nobody else wants, until the process is killed. Its process has to have the idle priority.
func Spin() {
	settle()
	for {
		spin()
	}
}

//go:noinline
func spin() {
	for range 1 << 20 {
	}
}
