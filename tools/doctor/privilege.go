// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// need is a capability, or what is as good.
type need struct {
	name string
	any  [][]int // each of one of the lists
}

// needs are those of a worker's programs.
func needs() []need {
	return []need{
		{"CAP_NET_ADMIN", [][]int{{unix.CAP_NET_ADMIN}}},
		{"CAP_NET_RAW", [][]int{{unix.CAP_NET_RAW}}},
		{"CAP_SYS_ADMIN, or CAP_BPF with CAP_PERFMON", [][]int{{unix.CAP_SYS_ADMIN}, {unix.CAP_BPF, unix.CAP_PERFMON}}},
	}
}

func (n need) metBy(have uint64) bool {
	for _, list := range n.any {
		all := true
		for _, bit := range list {
			all = all && have&(1<<bit) != 0
		}
		if all {
			return true
		}
	}
	return false
}

func checkPrivilege(_ context.Context, m *machine, c *collector) {
	if os.Geteuid() != 0 {
		c.found("not-root", nil, "this runs as user %d, who may not look at most of what a worker needs", os.Geteuid())
		return
	}
	lack("this process, and what is started from here,", os.Getpid(), c)
	for _, p := range m.running {
		if p.name == progNet {
			lack(fmt.Sprintf("NetManager (process %d)", p.pid), p.pid, c)
		}
	}
}

func lack(who string, pid int, c *collector) {
	have, err := effective(pid)
	if err != nil {
		c.note("what %s may do was not seen: %v", who, err)
		return
	}
	var missing []string
	for _, n := range needs() {
		if !n.metBy(have) {
			missing = append(missing, n.name)
		}
	}
	if len(missing) > 0 {
		c.found("capability-missing", fill{"capabilities", strings.Join(missing, " ")}, "%s lacks %s", who, strings.Join(missing, "; "))
		return
	}
	c.note("%s has what it needs", who)
}

// effective reads a process's effective capabilities.
func effective(pid int) (uint64, error) {
	raw, err := os.ReadFile(procFile(pid, "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		}
	}
	return 0, fmt.Errorf("no CapEff in %s", procFile(pid, "status"))
}
