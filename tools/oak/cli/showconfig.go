// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/config"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

// setting is one line of `oak config show`.
type setting struct{ key, value string }

func (p *program) showConfig(c config.Config, path string) error {
	shown := c.Shown()
	shown["file"] = path
	if f := p.outputFormat(); f == output.JSON || f == output.YAML {
		return output.Value(p.Out, f, shown)
	}
	var rows []setting
	for _, key := range append([]string{"file", "token"}, config.Keys()...) {
		rows = append(rows, setting{key, shown[key]})
	}
	return output.List(p.Out, p.Err, p.outputFormat(), rows, []output.Column[setting]{
		{Name: "KEY", Value: func(s setting) string { return s.key }},
		{Name: "VALUE", Value: func(s setting) string { return s.value }},
	})
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show oak's version", Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if f := p.outputFormat(); f == output.JSON || f == output.YAML {
				return output.Value(p.Out, f, map[string]string{"version": p.version()})
			}
			_, err := fmt.Fprintln(p.Out, "oak", p.version())
			return err
		},
	}
}

// version is what the build has set, or else the module's version, or else the commit that oak was built from.
func (p *program) version() string {
	if p.Version != "" {
		return p.Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return cmp.Or(commit, "devel")
}
