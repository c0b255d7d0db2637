// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/joining"
)

// tokenLife is how long a join token of the testbed is good for: hosts join within seconds of "up".
const tokenLife = time.Hour

// issueToken has the orchestrator program make a join token for so many uses, and writes it to each file.
func (t *Testbed) issueToken(ctx context.Context, program, role, database string, uses int, files ...string) error {
	cmd := exec.CommandContext(ctx, t.state.program(program), "token", "create", //nolint:gosec // our own program
		"--role", role, "--database", databaseURL(database), "--ttl", tokenLife.String(), "--uses", strconv.Itoa(uses))
	cmd.Env, cmd.Dir = env(t.state.Dir, Machine), "/"
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("make a join token for a %s with %s: %w\n%s", role, program, err, indent(strings.TrimSpace(errs.String())))
	}
	// A version that is met may print the token alone, this one prints the command to type.
	token := joining.TokenIn(string(out))
	if token == "" {
		return fmt.Errorf("make a join token for a %s with %s: it printed none", role, program)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte(token+"\n"), 0o600); err != nil {
			return fmt.Errorf("write a join token: %w", err)
		}
	}
	return nil
}
