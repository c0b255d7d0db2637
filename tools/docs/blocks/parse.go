// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Block is what one fence of a document encloses.
type Block struct {
	// File is the document, as it was named to the parser.
	File string
	// Line is that of the opening fence, from 1; the text begins on the next.
	Line int
	// Language is the fence's first word: "sh" for what is to be typed.
	Language string
	// ID names a block of commands within its file; other blocks have none.
	ID string
	// Text is what the fence encloses, without the fence's own indentation, each line ended.
	Text string
}

// Place says where the block is, for people: file, line and id.
func (b Block) Place() string { return fmt.Sprintf("%s:%d (block %s)", b.File, b.Line, b.ID) }

var (
	fence = regexp.MustCompile("^( *)(```+|~~~+) *([^`]*)$")
	ident = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	// shells are fences that other renderers take for commands; here they would be commands that nobody runs.
	shells = map[string]bool{"bash": true, "shell": true, "console": true, "shell-session": true, "zsh": true}
)

// Parse returns the fenced blocks of a Markdown file in their order. It is an error, which names every place, if a block has no
// language or one that hides commands, if a block of commands has no id or one that another has, if a fence is not closed, and if
// text is indented by four spaces after an empty line: that, too, would be a block.
func Parse(file, body string) ([]Block, error) {
	var (
		found  []Block
		faults []error
		open   string // the fence that encloses us, "" outside
		indent string
		empty  = true
		ids    = map[string]int{}
	)
	fault := func(line int, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s:%d: "+format, append([]any{file, line}, args...)...))
	}
	for i, line := range strings.Split(strings.TrimSuffix(body, "\n"), "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == "" && m != nil:
			open, indent = m[2], m[1]
			b := Block{File: file, Line: i + 1}
			words := strings.Fields(m[3])
			if len(words) > 0 {
				b.Language = words[0]
			}
			switch {
			case b.Language == "" || shells[b.Language]:
				fault(i+1, "block in %q: write `sh` and an id where it is to be typed, else `text` or what it is", b.Language)
			case b.Language == "sh" && (len(words) != 2 || !ident.MatchString(words[1])):
				fault(i+1, "block of commands without an id: one word of a-z, 0-9 and - after `sh`")
			case b.Language == "sh":
				b.ID = words[1]
				if first := ids[b.ID]; first != 0 {
					fault(i+1, "block of commands %q: line %d has that id too", b.ID, first)
				}
				ids[b.ID] = i + 1
			}
			found = append(found, b)
		case open != "" && m != nil && strings.HasPrefix(m[2], open) && strings.TrimSpace(m[3]) == "":
			open = ""
		case open != "":
			last := &found[len(found)-1]
			last.Text += strings.TrimPrefix(line, indent) + "\n"
		case empty && strings.HasPrefix(line, "    ") && strings.TrimSpace(line) != "":
			fault(i+1, "indented block: fence it, as `sh` with an id if it is to be typed, else as `text`")
		}
		empty = open == "" && strings.TrimSpace(line) == ""
	}
	if open != "" {
		fault(found[len(found)-1].Line, "block is not closed")
	}
	return found, errors.Join(faults...)
}
