// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// place is a place to fill in: capitals between angle brackets, such as <ADDRESS OF ROOT>. A redirection from a file does not look so, since
// nothing closes it on its line.
var place = regexp.MustCompile(`<([A-Z][A-Z0-9 ,.'_-]*[A-Z0-9]|[A-Z])>`)

// fill puts in what the caller gives for the places of a block, by their words.
func fill(b Block, with map[string]string) (string, error) {
	var missing []string
	text := place.ReplaceAllStringFunc(b.Text, func(s string) string {
		words := s[1 : len(s)-1]
		value, ok := with[words]
		if !ok && !slices.Contains(missing, s) {
			missing = append(missing, s)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("%s: nothing given for %s", b.Place(), strings.Join(missing, ", "))
	}
	return text, nil
}
