// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// envFile is where a service's environment is.
func (s Service) envFile() string { return filepath.Join(ConfigDir, s.Env()) }

// withSettings returns a file of environment variables with some of them set: in place of the line that sets it, or of its commented-out example,
// or else at the end. All else stays as it is.
func withSettings(text string, set map[string]string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for _, name := range slices.Sorted(maps.Keys(set)) {
		line := name + "=" + set[name]
		at := -1
		for i, l := range lines {
			if strings.HasPrefix(l, name+"=") {
				at = i // the last one counts, for systemd as well
			} else if at < 0 && strings.HasPrefix(l, "#"+name+"=") {
				at = i
			}
		}
		if at < 0 {
			lines = append(lines, line)
			continue
		}
		lines[at] = line
	}
	return strings.Join(lines, "\n") + "\n"
}

// settings reads a file of environment variables; none is empty.
func settings(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			out[name] = value
		}
	}
	return out, nil
}

// fit refuses what would be something else in the file of environment variables than it is here.
func fit(name, value string) error {
	if strings.ContainsAny(value, "\n\r\"'\\$ \t") {
		return cmdline.Usagef("%s: %q has a space, a quote, a backslash or a dollar in it, which the file of environment variables cannot hold", name, value)
	}
	return nil
}

// configure sets variables of a service. The file is made if it is missing; what it says of others is kept.
func (p *plan) configure(s Service, set map[string]string) {
	say := "touch " + s.envFile()
	if len(set) > 0 {
		var words []string
		for _, name := range slices.Sorted(maps.Keys(set)) {
			words = append(words, name+"="+set[name])
		}
		say = fmt.Sprintf("set %s in %s", strings.Join(words, " "), s.envFile())
	}
	p.text(say, s.envFile(), 0o644, "", func() ([]byte, error) {
		text, err := os.ReadFile(s.envFile())
		if errors.Is(err, fs.ErrNotExist) {
			text, err = File(s.Env()), nil
		}
		if err != nil {
			return nil, err
		}
		return []byte(withSettings(string(text), set)), nil
	})
}
