// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/config"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

// setting is one line of `oak config show`.
type setting struct{ key, value string }

func (p *program) showConfig(c config.Config, path string) error {
	shown := c.Shown()
	shown["file"] = path
	if p.format.Data() {
		return output.Value(p.Out, p.format, shown)
	}
	var rows []setting
	for _, key := range append([]string{"file", "token"}, config.Keys()...) {
		rows = append(rows, setting{key, shown[key]})
	}
	return output.List(p.Out, p.Err, p.format, rows, []output.Column[setting]{
		{Name: "KEY", Value: func(s setting) string { return s.key }},
		{Name: "VALUE", Value: func(s setting) string { return s.value }},
	})
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show oak's version", Args: cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if p.format.Data() {
				return output.Value(p.Out, p.format, map[string]string{"version": cmdline.Version(p.Version)})
			}
			_, err := fmt.Fprintln(p.Out, "oak", cmdline.Version(p.Version))
			return err
		},
	}
}
