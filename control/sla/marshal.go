// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// MarshalJSON writes the form that [Parse] reads, unknown fields included. So do the MarshalJSON of the descriptor's parts.
func (d Descriptor) MarshalJSON() ([]byte, error) {
	type plain Descriptor
	d.Applications = orEmpty(d.Applications)
	return withExtra(plain(d), d.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (a Application) MarshalJSON() ([]byte, error) {
	type plain Application
	a.Microservices = orEmpty(a.Microservices)
	return withExtra(plain(a), a.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (m Microservice) MarshalJSON() ([]byte, error) {
	type plain Microservice
	return withExtra(plain(m), m.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (a Addresses) MarshalJSON() ([]byte, error) {
	type plain Addresses
	return withExtra(plain(a), a.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (c Constraint) MarshalJSON() ([]byte, error) {
	type plain Constraint
	return withExtra(plain(c), c.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (c Connectivity) MarshalJSON() ([]byte, error) {
	type plain Connectivity
	c.Constraints = orEmpty(c.Constraints)
	return withExtra(plain(c), c.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (c LinkConstraint) MarshalJSON() ([]byte, error) {
	type plain LinkConstraint
	return withExtra(plain(c), c.Extra)
}

// MarshalJSON implements [json.Marshaler].
func (v Volume) MarshalJSON() ([]byte, error) {
	type plain Volume
	return withExtra(plain(v), v.Extra)
}

// orEmpty makes a required list that is nil an empty one, which is not written as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// withExtra marshals a struct and appends the fields of extra in the order of their names. Every struct here has at least
// one field that is always written, or none at all, so that a comma is needed exactly if the object is not empty.
func withExtra(plain any, extra map[string]json.RawMessage) ([]byte, error) {
	body, err := json.Marshal(plain)
	if err != nil || len(extra) == 0 {
		return body, err
	}
	var out bytes.Buffer
	out.Write(bytes.TrimSuffix(body, []byte("}")))
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(key)
		if err != nil {
			return nil, fmt.Errorf("marshal name of extra field %q: %w", key, err)
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(extra[key])
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
