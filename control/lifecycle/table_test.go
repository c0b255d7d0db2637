// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// declared reads the states that control/wire knows out of its source, so that none can be added without a rule.
func declared(t *testing.T) (all []wire.State) {
	t.Helper()
	source, err := os.ReadFile("../wire/instance.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+State\w+\s+State = "(\w+)"$`).FindAllStringSubmatch(string(source), -1) {
		all = append(all, wire.State(m[1]))
	}
	if len(all) < 16 {
		t.Fatalf("only %d states found in control/wire", len(all))
	}
	return all
}

func TestEveryStateHasATimeOutAndAWayOut(t *testing.T) {
	rules := map[wire.State]Rule{}
	for _, r := range Rules() {
		if _, twice := rules[r.State]; twice {
			t.Errorf("%s is there twice", r.State)
		}
		rules[r.State] = r
	}
	all := declared(t)
	for _, s := range all {
		r, ok := rules[s]
		if !ok {
			t.Errorf("%s has no rule", s)
			continue
		}
		if r.WayOut == "" || len(r.Next) == 0 {
			t.Errorf("%s has no way out", s)
		}
		if r.Within == 0 && r.Timeout == "" && !r.Final() && s != wire.StateUndeployed {
			t.Errorf("%s has no time-out", s)
		}
		for _, n := range r.Next {
			if _, ok := rules[n]; !ok {
				t.Errorf("%s leads to %s, which is no state", s, n)
			}
		}
		if s != wire.StateUndeployed && !Allowed(s, wire.StateUndeployed) {
			t.Errorf("%s cannot be undeployed", s)
		}
		if s != wire.StateRequested && !Possible(wire.StateRequested, s) {
			t.Errorf("%s cannot be reached", s)
		}
	}
	if len(rules) != len(all) {
		t.Errorf("%d rules for %d states", len(rules), len(all))
	}
}

func TestWhatIsOverStaysOver(t *testing.T) {
	for _, over := range []wire.State{wire.StateCompleted, wire.StateDead} {
		for _, s := range declared(t) {
			if want := s == over || s == wire.StateUndeployed; Allowed(over, s) != want || Possible(over, s) != want {
				t.Errorf("%s to %s: allowed %t, possible %t", over, s, Allowed(over, s), Possible(over, s))
			}
		}
	}
	if Allowed(wire.StateRequested, wire.StateRunning) || !Possible(wire.StateRequested, wire.StateRunning) {
		t.Error("who does not see all states cannot follow a deployment")
	}
	if Allowed("nonsense", wire.StateRunning) || Possible(wire.StateRunning, "nonsense") {
		t.Error("what is no state is one")
	}
	if !Allowed("", wire.StateRunning) || !Possible(wire.StateRunning, wire.StateRunning) {
		t.Error("neither a first state nor staying is allowed")
	}
}

// The table in ARCHITECTURE.md is this one; with OAK_UPDATE set it is written anew.
func TestArchitectureHasTheTable(t *testing.T) {
	const file, begin, end = "../../ARCHITECTURE.md", "<!-- states: written by control/lifecycle -->\n", "<!-- end of states -->\n"
	var b strings.Builder
	b.WriteString("\n| state | whose turn | time-out | way out | what may follow |\n|---|---|---|---|---|\n")
	for _, r := range Rules() {
		var limits []string
		if r.Within > 0 {
			limits = append(limits, short(r.Within.String()))
		}
		if r.Timeout != "" {
			limits = append(limits, short(r.Timeout))
		}
		next := make([]string, len(r.Next))
		for i, s := range r.Next {
			next[i] = string(s)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.State, r.Owner, strings.Join(limits, ": "), short(r.WayOut), strings.Join(next, ", "))
	}
	b.WriteByte('\n')
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("ARCHITECTURE.md has no place for the table of states")
	}
	if have == b.String() {
		return
	}
	if os.Getenv("OAK_UPDATE") == "" {
		t.Fatal("the table of states in ARCHITECTURE.md is another one: OAK_UPDATE=1 go test ./control/lifecycle writes it")
	}
	if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

// short writes durations as people do.
func short(s string) string {
	return strings.NewReplacer("1h10m0s", "1 h 10 min", "1h0m0s", "1 h", "1m0s", "1 min", "30s", "30 s", "15s", "15 s", "60s", "60 s", "5s", "5 s").Replace(s)
}
