// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Fields returns the first [*Fault] of kind Unknown in a sound document that is to be decoded into a value of type t: a field that
// encoding/json would pass over. Types that unmarshal themselves are asked nothing. Names count in any case, as they do to encoding/json.
func Fields(body []byte, t reflect.Type) error { return walk(json.RawMessage(body), t, "$", 0) }

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func walk(raw json.RawMessage, t reflect.Type, path string, depth int) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if p := reflect.PointerTo(t); p.Implements(unmarshaler) || p.Implements(textUnmarshaler) || len(raw) == 0 || depth > MaxDepth {
		return nil
	}
	switch {
	case raw[0] == '{' && t.Kind() == reflect.Struct:
		known := map[string]reflect.Type{}
		names(t, known)
		return object(raw, path, depth, func(key string) (reflect.Type, bool) {
			inner, ok := known[strings.ToLower(key)]
			return inner, ok
		})
	case raw[0] == '{' && t.Kind() == reflect.Map:
		return object(raw, path, depth, func(string) (reflect.Type, bool) { return t.Elem(), true })
	case raw[0] == '[' && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return nil
		}
		for i, item := range items {
			if err := walk(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func object(raw json.RawMessage, path string, depth int, find func(key string) (reflect.Type, bool)) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		t, ok := find(key)
		if !ok {
			return &Fault{Unknown, path + "." + Shown(key), "is no field of this request"}
		}
		if err := walk(fields[key], t, path+"."+Shown(key), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// names collects the fields of a struct as JSON knows them, in lower case.
func names(t reflect.Type, into map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				names(inner, into)
			}
		case !f.IsExported():
		case name == "":
			into[strings.ToLower(f.Name)] = f.Type
		default:
			into[strings.ToLower(name)] = f.Type
		}
	}
}
