// SPDX-License-Identifier: Apache-2.0

package root

import "encoding/json"

// oid is an id in the form in which existing clients know it from the earlier store: {"$oid": "…"}.
type oid string

// MarshalJSON implements json.Marshaler.
func (o oid) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"$oid": string(o)})
}
