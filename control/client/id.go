// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// ID identifies an application, service, cluster or user: 24 hexadecimal digits. It is also read in the form
// {"$oid":"…"}, in which earlier servers write some of them.
type ID string

// UnmarshalJSON implements [json.Unmarshaler].
func (id *ID) UnmarshalJSON(body []byte) error {
	var object struct {
		OID string `json:"$oid"`
	}
	if json.Unmarshal(body, &object) == nil && object.OID != "" {
		*id = ID(object.OID)
		return nil
	}
	var s string
	if err := json.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("read id: %w", err)
	}
	*id = ID(s)
	return nil
}

// Claims are what an access token says of its bearer. They are not verified here: only the server can.
type Claims struct {
	Subject      string   `json:"sub"`
	User         string   `json:"user"`
	Roles        []string `json:"roles"`
	Organization string   `json:"organization"`
}

// Claims reads the present access token; all fields are empty before a login.
func (c *Client) Claims() Claims {
	token, _ := c.tokens()
	var claims Claims
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if body, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(body, &claims) // a token of another form simply tells nothing
		}
	}
	return claims
}
