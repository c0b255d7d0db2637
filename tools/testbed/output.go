// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// output starts cmd with start and returns its standard output; an error carries its standard error.
func output(cmd *exec.Cmd, start func() error) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	if err := cmd.Wait(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(errs.String()+" "+tailOf(out.String())))
	}
	return out.Bytes(), nil
}

// tailOf returns the end of a text, for an error message.
func tailOf(s string) string {
	const most = 2000
	return s[max(0, len(s)-most):]
}
