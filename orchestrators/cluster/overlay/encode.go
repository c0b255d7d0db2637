// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"encoding/json"
)

// encode writes what holds nothing that cannot be written.
func encode(m any) []byte {
	text, _ := json.Marshal(m)
	return text
}

// splice writes a message and fills in, behind the mark, what it was left without. size is about how much that is.
func splice(m any, mark string, size int, fill func(out []byte) []byte) []byte {
	text := encode(m)
	at := bytes.Index(text, []byte(mark)) + len(mark)
	out := append(make([]byte, 0, len(text)+size), text[:at]...)
	return append(fill(out), text[at:]...)
}
