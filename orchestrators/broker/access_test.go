// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	me    = "aaaaaaaaaaaaaaaaaaaaaaaa"
	other = "bbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestMayWrite(t *testing.T) {
	for topic, want := range map[string]struct{ plain, retained bool }{
		"nodes/" + me + "/information":      {true, false},
		"nodes/" + me + "/instances":        {true, false},
		"nodes/" + me + "/alive/engine":     {true, true},
		"nodes/" + me + "/alive/net":        {true, true},
		"nodes/" + me + "/net/endpoints":    {true, false},
		"nodes/" + me + "/net/interest":     {true, false},
		"nodes/" + me + "/desired":          {},
		"nodes/" + me + "/net/node":         {},
		"nodes/" + me + "/net/routes/x":     {},
		"nodes/" + me + "/alive":            {},
		"nodes/" + me + "x/information":     {},
		"nodes/" + me:                       {},
		"nodes/" + other + "/information":   {},
		"nodes/" + other + "/net/endpoints": {},
		"$SYS/broker":                       {},
		"":                                  {},
	} {
		require.Equal(t, want.plain, mayWrite(me, topic, false), topic)
		require.Equal(t, want.retained, mayWrite(me, topic, true), topic)
	}
}

func TestMayRead(t *testing.T) {
	for filter, want := range map[string]bool{
		"nodes/" + me + "/desired":          true,
		"nodes/" + me + "/net/node":         true,
		"nodes/" + me + "/net/peers":        true,
		"nodes/" + me + "/net/resolved":     true,
		"nodes/" + me + "/net/routes/+":     true,
		"nodes/" + me + "/net/routes/abc":   true,
		"nodes/" + me + "/net/routes/":      false,
		"nodes/" + me + "/net/routes/#":     false,
		"nodes/" + me + "/net/routes/a/b":   false,
		"nodes/" + me + "/net/+":            false,
		"nodes/" + me + "/#":                false,
		"nodes/" + me + "/information":      false,
		"nodes/+/desired":                   false,
		"nodes/" + other + "/desired":       false,
		"#":                                 false,
		"$share/x/nodes/" + me + "/desired": false,
	} {
		require.Equal(t, want, mayRead(me, filter), filter)
	}
}

func FuzzAccess(f *testing.F) {
	f.Add("nodes/" + other + "/net/routes/+")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.HasPrefix(s, "nodes/"+me+"/") {
			return // own topics are covered by the tables
		}
		if mayRead(me, s) || mayWrite(me, s, false) || mayWrite(me, s, true) {
			t.Fatalf("%q is not this worker's", s)
		}
	})
}
