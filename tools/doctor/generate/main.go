// SPDX-License-Identifier: Apache-2.0

// Generate writes the list of checks and findings into README.md of package doctor, in whose folder it is run.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/doctor"
)

func main() {
	if err := write("README.md"); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	head, rest, ok := strings.Cut(string(raw), doctor.Begin)
	_, tail, closed := strings.Cut(rest, doctor.End)
	if !ok || !closed {
		return fmt.Errorf("%s lacks the lines %q and %q", file, doctor.Begin, doctor.End)
	}
	return os.WriteFile(file, []byte(head+doctor.Begin+doctor.Page()+doctor.End+tail), 0o644) //nolint:gosec // a page to be read by all
}
