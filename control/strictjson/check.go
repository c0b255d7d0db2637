// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// MaxDepth is how deeply arrays and objects may lie in one another.
const MaxDepth = 64

// maxShown bounds how much of a field's name, in bytes, a fault quotes.
const maxShown = 60

// Kind says what is wrong with a document.
type Kind int

// The kinds of fault.
const (
	// TooDeep is nesting beyond [MaxDepth].
	TooDeep Kind = iota + 1
	// Duplicate is a field that an object has twice.
	Duplicate
	// Unknown is a field that nobody reads.
	Unknown
)

// Fault is what is wrong with a document that is JSON.
type Fault struct {
	Kind Kind
	// Path is a JSON path, such as $.applications[0].memory.
	Path string
	// Reason says what is wrong there.
	Reason string
}

func (f *Fault) Error() string { return f.Path + ": " + f.Reason }

// Check returns the first [*Fault] of a document, or nil, also for one that is no JSON: whoever decodes it tells that.
func Check(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var fault *Fault
	if err := value(d, "$", 0); errors.As(err, &fault) {
		return fault
	}
	return nil
}

// value reads one value. Every error but a fault says that the document is no JSON.
func value(d *json.Decoder, path string, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > MaxDepth {
		return &Fault{TooDeep, "$", fmt.Sprintf("is nested more than %d deep", MaxDepth)}
	}
	if open == '[' {
		for i := 0; d.More(); i++ {
			if err := value(d, path+"["+strconv.Itoa(i)+"]", depth); err != nil {
				return err
			}
		}
	} else if err := fields(d, path, depth); err != nil {
		return err
	}
	_, err = d.Token()
	return err
}

func fields(d *json.Decoder, path string, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return io.ErrUnexpectedEOF
		}
		at := path + "." + Shown(key)
		if seen[key] {
			return &Fault{Duplicate, at, "is there twice: which of the two counts is not for the reader to guess"}
		}
		seen[key] = true
		if err := value(d, at, depth); err != nil {
			return err
		}
	}
	return nil
}

// Shown makes a field's name fit for a path: it is as long, and of such characters, as a stranger likes.
func Shown(key string) string {
	if len(key) > maxShown {
		key = key[:maxShown] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(key, "?"))
}
