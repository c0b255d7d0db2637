// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

type mochiPacket = packets.Packet

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a/b/c", false}, {"a/b/c", "a/b", false},
		{"a/+", "a/b", true}, {"a/+", "a", false}, {"+/b", "a/b", true}, {"a/+/c", "a/b/c", true},
		{"#", "a/b", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "b", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true},
		{"", "a", false}, {"a/#/b", "a/x/b", false}, {"a/+", "a/", true},
	} {
		if got := Match(c.filter, c.topic); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("$SYS/#", "$SYS/")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		_ = Match(filter, topic)
		if filter != "" && topic == filter && filter[0] != '+' && filter[0] != '#' && !Match(filter, topic) && !hasWildcard(filter) {
			t.Errorf("%q does not match itself", topic)
		}
	})
}

func hasWildcard(s string) bool {
	for _, r := range s {
		if r == '+' || r == '#' {
			return true
		}
	}
	return false
}
