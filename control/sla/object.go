// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/strictjson"
)

// presence says whether a field has to be there.
type presence bool

const (
	required presence = true
	optional presence = false
)

// Lengths that no honest descriptor reaches, in bytes.
const (
	maxID   = 64
	maxText = 4096
	maxList = 1024
)

// object is one JSON object of a descriptor while its fields are taken out one by one. A null field counts as absent: that
// is what users' generators write for it.
type object struct {
	r      *reader
	path   string
	fields map[string]json.RawMessage
	// known are the names asked for, and taken whether each was there.
	known []string
}

// object reads raw as an object; anything else is a fault and reads as an empty object without further faults.
func (r *reader) object(path string, raw json.RawMessage) *object {
	o := &object{r: r, path: path}
	if k := kind(raw); k != "an object" {
		r.fail(path, "expected an object, got %s", k)
		return o
	}
	o.fields = map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &o.fields); err != nil {
		r.fail(path, "cannot be read as an object: %v", err)
	}
	return o
}

// at returns the path of a field.
func (o *object) at(key string) string { return o.path + "." + key }

// take returns a field's value, and false if it is absent.
func (o *object) take(key string, p presence) (json.RawMessage, bool) {
	o.known = append(o.known, key)
	raw, ok := o.fields[key]
	if ok && string(raw) != "null" {
		return raw, true
	}
	if p == required && o.fields != nil {
		hint := ""
		for _, other := range slices.Sorted(maps.Keys(o.fields)) {
			if other != key && nearMiss(other, []string{key}) == key {
				hint = fmt.Sprintf(" (found %q: did you mean it?)", clip(other))
				o.known = append(o.known, other) // told by this
				break
			}
		}
		o.r.fail(o.at(key), "is required%s", hint)
	}
	return nil, false
}

// as takes a field whose JSON form is what target's type needs; want names that form in a person's words.
func (o *object) as(key, want string, p presence, target any) bool {
	raw, ok := o.take(key, p)
	if !ok {
		return false
	}
	if got := kind(raw); got != want {
		o.r.fail(o.at(key), "expected %s, got %s", want, got)
		return false
	}
	if err := json.Unmarshal(raw, target); err != nil { // such as 1e999
		o.r.fail(o.at(key), "%s is out of range", clip(string(raw)))
		return false
	}
	return true
}

func (o *object) string(key string, p presence) string {
	var s string
	if o.as(key, "a string", p, &s) && strings.ContainsRune(s, 0) {
		o.r.fail(o.at(key), "contains a NUL character")
	}
	return s
}

func (o *object) bool(key string) bool {
	var b bool
	o.as(key, "a boolean", optional, &b)
	return b
}

// number takes a number that is at least 0.
func (o *object) number(key string) float64 {
	var f float64
	if o.as(key, "a number", optional, &f) && f < 0 {
		o.r.fail(o.at(key), "is %v, has to be 0 or more", f)
	}
	return f
}

// integer takes a whole number from 0 to most; 100.0 is one, as JSON schema has it.
func (o *object) integer(key string, most int) int {
	raw, ok := o.take(key, optional)
	if !ok {
		return 0
	}
	var f float64
	switch got := kind(raw); {
	case got != "a number":
		o.r.fail(o.at(key), "expected an integer, got %s", got)
	case json.Unmarshal(raw, &f) != nil:
		o.r.fail(o.at(key), "%s is out of range", clip(string(raw)))
	case f > float64(most):
		o.r.fail(o.at(key), "is %s, has to be at most %d", clip(string(raw)), most)
	case f != math.Trunc(f):
		o.r.fail(o.at(key), "expected an integer, got %s", clip(string(raw)))
	case f < 0:
		o.r.fail(o.at(key), "is %s, has to be 0 or more", clip(string(raw)))
	default:
		return int(f)
	}
	return 0
}

// name takes the name or namespace of an application or a service.
func (o *object) name(key string) string {
	var s string
	if o.as(key, "a string", required, &s) && !semantic.ValidName(s) {
		o.r.fail(o.at(key), "%q does not match %s: 1 to 30 letters and digits", clip(s), semantic.NamePattern)
	}
	return s
}

// list takes an array, empty if absent.
func (o *object) list(key string, p presence) []json.RawMessage {
	var items []json.RawMessage
	if o.as(key, "an array", p, &items) && len(items) > maxList {
		o.r.fail(o.at(key), "has %d entries, %d at most", len(items), maxList)
		return nil
	}
	return items
}

// strings takes an array of strings, each of which has to pass check; nil if absent or empty.
func (o *object) strings(key string, check func(path, s string)) []string {
	var out []string
	for i, raw := range o.list(key, optional) {
		path := fmt.Sprintf("%s[%d]", o.at(key), i)
		var s string
		if err := json.Unmarshal(raw, &s); err != nil || kind(raw) != "a string" {
			o.r.fail(path, "expected a string, got %s", kind(raw))
			continue
		}
		if strings.ContainsRune(s, 0) {
			o.r.fail(path, "contains a NUL character")
		}
		if check != nil {
			check(path, s)
		}
		out = append(out, s)
	}
	return out
}

// objects takes an array of objects.
func (o *object) objects(key string, p presence) []*object {
	var out []*object
	for i, raw := range o.list(key, p) {
		out = append(out, o.r.object(fmt.Sprintf("%s[%d]", o.at(key), i), raw))
	}
	return out
}

// atMost notes a fault if s has more than n bytes.
func (o *object) atMost(key, s string, n int) {
	if len(s) > n {
		o.r.fail(o.at(key), "has %d bytes, %d at most", len(s), n)
	}
}

// rest returns the fields that were not asked for, in a form that marshalling does not change. Of a user's own words each is a fault, since
// it would do nothing; otherwise those are warned of that look like a known name misspelt.
func (o *object) rest() map[string]json.RawMessage {
	var extra map[string]json.RawMessage
	for _, key := range slices.Sorted(maps.Keys(o.fields)) {
		if slices.Contains(o.known, key) {
			continue
		}
		meant := nearMiss(key, o.known)
		if o.r.strict && !servers(key) {
			hint := ""
			if meant != "" {
				hint = fmt.Sprintf(": did you mean %q?", meant)
			}
			o.r.fail(o.path+"."+strictjson.Shown(key), "is no field of a descriptor%s", hint)
			continue
		}
		if meant != "" {
			o.r.warn(o.path, "unknown field %q is ignored: did you mean %q?", clip(key), meant)
		}
		if strings.ContainsRune(key, 0) || bytes.Contains(o.fields[key], []byte(`\u0000`)) {
			o.r.fail(o.path, "field %q contains a NUL character", clip(key))
			continue
		}
		raw, err := json.Marshal(o.fields[key])
		if err != nil {
			o.r.fail(o.path, "field %q cannot be kept: %v", clip(key), err)
			continue
		}
		if extra == nil {
			extra = map[string]json.RawMessage{}
		}
		extra[key] = raw
	}
	return extra
}

// kind names the type of a sound JSON value.
func kind(raw json.RawMessage) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// clip shortens what a user wrote so that it can be quoted back.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
