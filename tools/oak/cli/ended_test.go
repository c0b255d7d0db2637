// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// A wait for instances to run ends when one of them never will.
func TestWaitingForWhatHasEndedIsOver(t *testing.T) {
	dead := client.Instance{Number: 3, Status: wire.StateDead, StatusDetail: "ended with code 1"}
	gone := dead
	gone.Deleting = true
	for _, c := range []struct {
		instances []client.Instance
		want      string
	}{
		{nil, ""},
		{[]client.Instance{{Status: wire.StateFailed}, {Status: wire.StateCompleted}}, ""}, // it is tried on; it is done
		{[]client.Instance{gone}, ""},
		{[]client.Instance{{Status: wire.StateRunning}, dead}, "instance 3 is DEAD: ended with code 1"},
	} {
		s := client.Service{Instances: c.instances}
		if got := allRun(s, 1).never(s); got != c.want {
			t.Errorf("%+v: %q, want %q", c.instances, got, c.want)
		}
	}
	if areGone(client.Service{}, nil).never != nil {
		t.Error("a wait for the end of what is dead has no end")
	}
}

func TestReadinessInAWord(t *testing.T) {
	yes, no := true, false
	got := readiness(client.Instance{}) + " " + readiness(client.Instance{Ready: &yes}) + " " + readiness(client.Instance{Ready: &no})
	if !strings.EqualFold(got, "- yes no") {
		t.Error(got)
	}
}
