// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

// manuals builds every program and returns what each says of itself, by its path.
func manuals(t *testing.T) map[string]manual.Manual {
	t.Helper()
	root, err := blocks.Root()
	require.NoError(t, err)
	mains, err := filepath.Glob(filepath.Join(root, "*", "cmd", "*", "main.go"))
	require.NoError(t, err)
	require.NotEmpty(t, mains)
	dir := t.TempDir()
	args := []string{"build", "-o", dir + "/"}
	for _, m := range mains {
		args = append(args, filepath.Dir(m))
	}
	text, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput() //nolint:gosec // our own programs
	require.NoError(t, err, string(text))
	all := map[string]manual.Manual{}
	for _, m := range mains {
		program := filepath.Join(dir, filepath.Base(filepath.Dir(m)))
		text, err := exec.CommandContext(t.Context(), program, "reference", "-o", "json").Output() //nolint:gosec // as just built
		require.NoError(t, err, program)
		var told manual.Manual
		require.NoError(t, json.Unmarshal(text, &told), program)
		all[program] = told
	}
	return all
}

// unfit is a value that no flag takes but those which take any text.
const unfit = "\x01"

// TestEveryFlagIsAVariable has each command of each program read each variable that its reference names: where the value suits no flag of that
// kind, the program says so by the variable's name, before it does anything.
func TestEveryFlagIsAVariable(t *testing.T) {
	asked := 0
	for program, m := range manuals(t) {
		shared := map[string][]manual.Flag{}
		for _, c := range m.Commands {
			shared[c.Command] = c.Shared
		}
		meanings := map[string]string{}
		for _, c := range m.Commands {
			flags := append(append([]manual.Flag{}, c.Flags...), c.Shared...)
			for parent, of := range shared {
				if strings.HasPrefix(c.Command, parent+" ") {
					flags = append(flags, of...)
				}
			}
			var typed []string
			names := map[string]bool{}
			for _, f := range flags {
				assert.Regexp(t, `^OAK_[A-Z0-9_]+$`, f.Variable, "%s --%s", c.Command, f.Name)
				assert.Greater(t, len(f.Name), 1, "%s has a flag without a long form", c.Command)
				assert.False(t, names[f.Name], "%s --%s twice", c.Command, f.Name)
				names[f.Name] = true
				if c.Command == m.Program {
					meanings[f.Variable] = f.Meaning
				} else if was, ok := meanings[f.Variable]; ok && f.Variable != "OAK_ROOT_SECRETS_KEY_FILE" { // the same file, said in other words
					// A service is told variables for itself; its commands, run with the same, must not take them for something else.
					assert.Equal(t, was, f.Meaning, "%s --%s means something else than the same variable means to %s", c.Command, f.Name, m.Program)
				}
				if takesNoText(f.Type) {
					typed = append(typed, f.Variable)
				}
			}
			if len(typed) == 0 {
				continue
			}
			text, code := refused(t, program, c, typed)
			assert.Equal(t, cmdline.Usage, code, "%s: %s", c.Command, text)
			for _, v := range typed {
				assert.Contains(t, text, "environment variable "+v+": ", c.Command)
				asked++
			}
		}
	}
	require.Greater(t, asked, 100, "variables were tried")
}

// takesNoText reports whether a flag of that kind refuses a text that is no value of it.
func takesNoText(kind string) bool {
	switch kind {
	case "", "duration", "int", "int32", "int64", "uint", "uint16", "uint32", "uint64", "float", "float64", "bool":
		return true // no kind is what a switch has
	}
	return false
}

// most is how many arguments a command wants at most.
const most = 4

// refused runs a command with variables that suit no flag, and with as many arguments as it wants, and returns what it says and its exit code.
func refused(t *testing.T, program string, c manual.Command, variables []string) (text string, code int) {
	t.Helper()
	args := strings.Fields(c.Command)[1:]
	for range most {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // as just built
		cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		for _, v := range variables {
			cmd.Env = append(cmd.Env, v+"="+unfit)
		}
		out, err := cmd.CombinedOutput()
		cancel()
		text, code = string(out), 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else {
			require.NoError(t, err, c.Command)
		}
		if !strings.Contains(text, " arguments: usage is ") {
			break
		}
		args = append(args, "x")
	}
	return text, code
}
