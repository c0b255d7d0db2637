// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"strings"
)

// Generated is the line by which readers and tools know a file that is made by `make generate`.
const Generated = "<!-- Made by `make generate` out of the program itself: change its source instead. -->"

// Markdown is the manual as a page.
func (m Manual) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n```text\n%s\n```\n", m.Program, Generated, strings.TrimSpace(m.About))
	for _, c := range m.Commands {
		if c.Command != m.Program {
			fmt.Fprintf(&b, "\n## %s\n\n%s: `%s`\n", c.Command, cell(c.Summary), c.Use)
		}
		flags(&b, "", c.Flags)
		flags(&b, "Flags of all commands below `"+c.Command+"` as well:", c.Shared)
	}
	if len(m.Variables) > 0 {
		b.WriteString("\n## Further environment variables\n\n")
		pairs(&b, "variable", m.Variables)
	}
	for _, k := range m.Keys {
		fmt.Fprintf(&b, "\n## Keys of %s\n\n", k.File)
		pairs(&b, "key", k.Keys)
	}
	if len(m.Ports) > 0 {
		b.WriteString("\n## Ports\n\n" + Table(m.Ports))
	}
	if m.Metrics != nil {
		fmt.Fprintf(&b, "\n## Metrics\n\n%s, in Prometheus' text format. Besides these there are `go_…` and `process_…`.\n\n| metric | labels | |\n|---|---|---|\n", m.Metrics.Where)
		for _, x := range m.Metrics.Metrics {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", x.Name, strings.Join(x.Labels, ", "), cell(x.Meaning))
		}
	}
	return b.String()
}

// Table is the ports as a table.
func Table(ports []Port) string {
	var b strings.Builder
	b.WriteString("| port | on | from | for | changed by |\n|---|---|---|---|---|\n")
	for _, p := range ports {
		flag := ""
		if p.Flag != "" {
			flag = "`" + p.Flag + "`"
		}
		fmt.Fprintf(&b, "| %s %d | %s | %s | %s | %s |\n", p.Protocol, p.Port, cell(p.On), cell(p.From), cell(p.Meaning), flag)
	}
	return b.String()
}

func flags(b *strings.Builder, head string, all []Flag) {
	if len(all) == 0 {
		return
	}
	if head != "" {
		fmt.Fprintf(b, "\n%s\n", head)
	}
	b.WriteString("\n| flag | variable | default | |\n|---|---|---|---|\n")
	for _, f := range all {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := ""
		if f.Default != "" {
			value = "`" + strings.ReplaceAll(f.Default, "|", `\|`) + "`"
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", name, f.Variable, value, cell(f.Meaning))
	}
}

func pairs(b *strings.Builder, head string, all []Variable) {
	fmt.Fprintf(b, "| %s | |\n|---|---|\n", head)
	for _, v := range all {
		fmt.Fprintf(b, "| `%s` | %s |\n", v.Name, cell(v.Meaning))
	}
}

// cell is text that breaks no table and is no markup.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
}
