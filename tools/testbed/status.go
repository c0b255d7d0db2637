// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Status is what there is to know of a testbed.
type Status struct {
	API      API    `json:"api"`
	Registry string `json:"registry"`
	// Hosts are the network namespaces; Machine is what runs in the machine's own.
	Hosts   []HostStatus      `json:"hosts"`
	Machine []ComponentStatus `json:"machine"`
	Cuts    []underlay.Cut    `json:"cuts"`
	Delays  []underlay.Delay  `json:"delays"`
	Dir     string            `json:"dir"`
	Logs    string            `json:"logs"`
}

// HostStatus is one host and what runs on it.
type HostStatus struct {
	Host
	Components []ComponentStatus `json:"components"`
}

// ComponentStatus is one process.
type ComponentStatus struct {
	Name   string     `json:"name"`
	PID    int        `json:"pid"`
	State  proc.State `json:"state"`
	Socket string     `json:"socket,omitempty"`
	Log    string     `json:"log"`
	// Command is the command line that the component was started with.
	Command string `json:"command"`
}

// Status returns how the testbed is now.
func (t *Testbed) Status() (Status, error) {
	all, err := components()
	if err != nil {
		return Status{}, err
	}
	byHost := map[string][]ComponentStatus{}
	for _, c := range all {
		byHost[c.Host] = append(byHost[c.Host], ComponentStatus{
			Name: c.Name, PID: c.Process.PID, State: c.Process.State(), Socket: c.Socket, Log: c.Spec.Log,
			Command: strings.Join(append([]string{c.Spec.Path}, c.Spec.Args...), " "),
		})
	}
	s := Status{
		API: t.state.API, Registry: t.state.Registry, Machine: byHost[Machine], Cuts: append([]underlay.Cut{}, t.state.Cuts...),
		Delays: append([]underlay.Delay{}, t.state.Delays...), Dir: t.state.Dir, Logs: t.layout().logs(),
	}
	for _, h := range t.state.Hosts {
		s.Hosts = append(s.Hosts, HostStatus{Host: h, Components: byHost[h.Name]})
	}
	return s, nil
}
