// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
)

// Begin and End are the lines of README.md between which [Page] stands.
const (
	Begin = "<!-- checks and findings: written by go generate ./tools/doctor -->\n"
	End   = "<!-- end of checks and findings -->\n"
)

// Page lists all checks and all kinds of findings in Markdown.
func Page() string {
	var b strings.Builder
	b.WriteString("\n## What is looked at\n\n| check | on | what |\n|---|---|---|\n")
	for _, c := range checks() {
		names := make([]string, 0, len(c.roles))
		for _, r := range c.roles {
			names = append(names, string(r))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, strings.Join(names, ", "), c.looks)
	}
	b.WriteString("\n## What can be found\n\nWords in braces are what was found there. Behind a # is said where, or with what, a command is to be typed.\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "\n### %s\n\n%s: %s.\n\n%s.\n\n```text\n%s\n```\n", k.ID, capital(string(k.Severity)), k.What, capital(k.Why), strings.Join(k.Cure, "\n"))
	}
	b.WriteString("\n")
	return b.String()
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
