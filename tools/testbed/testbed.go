// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Options say what testbed to start.
type Options struct {
	// Dir keeps the hosts' disks; it and all folders above it have to be passable by user postgres.
	Dir string
	// Bin is the folder of the programs.
	Bin string
	// Elsewhere are folders of programs, by name, that are not to be taken from Bin, such as those of another version.
	Elsewhere map[string]string
	// Self is the oak-testbed program, which also serves the registry.
	Self string
	// Roots counts root orchestrators, all over one database; 0 is 1. Clusters and Workers count clusters, and workers in each.
	Roots, Clusters, Workers int
	// IPv6 gives hosts addresses of IPv6 alone, not of IPv4 alone.
	IPv6 bool
	// Fsync makes Postgres durable, and slower.
	Fsync bool
	// Broker is what brokers clusters have: [BrokerBuiltin], which is the default, or [BrokerMosquitto].
	Broker string
	// Standby gives each cluster a second orchestrator on a host of its own, which takes over from the first. It needs [BrokerMosquitto].
	Standby bool
	// NAT puts the workers of each cluster behind a router that translates their addresses and lets in nothing new. All have the same
	// network at home.
	NAT bool
	// LostAfter, if set, is how long a worker has to be gone before its instances go to others.
	LostAfter time.Duration
	// ClusterLostAfter, if set, is how long a cluster has to be gone before its instances go to others.
	ClusterLostAfter time.Duration
	// Owner, if set, is the process that the testbed goes with: when it is dead, the next start clears the testbed away.
	Owner *proc.ID
	// Progress, if set, is told of each step that has ended and how long it took.
	Progress func(step string, took time.Duration)
}

func (o Options) family() underlay.Family {
	if o.IPv6 {
		return underlay.IPv6
	}
	return underlay.IPv4
}

// Testbed is one that is up, or coming up.
type Testbed struct {
	state *state
	opts  Options
	execs execs
	// telling keeps reports of steps that end together apart.
	telling sync.Mutex
}

// ErrDown is returned when there is no testbed.
var ErrDown = errors.New("no testbed is up: start one with \"oak-testbed up\"")

// ErrUp is returned by [Up] when a testbed is up already.
var ErrUp = errors.New("a testbed is up already: end it with \"oak-testbed down\"")

// Open returns the testbed that is up.
func Open() (*Testbed, error) {
	s, err := loadState()
	if err != nil {
		return nil, err
	}
	if s == nil || !s.Ready {
		return nil, ErrDown
	}
	return &Testbed{state: s}, nil
}

func (t *Testbed) layout() layout { return layout{t.state.Dir} }

// API returns where the root orchestrator answers.
func (t *Testbed) API() API { return t.state.API }

// Registry returns the registry's HOST:PORT.
func (t *Testbed) Registry() string { return t.state.Registry }

// Hosts returns the hosts with the given role, or all if it is empty.
func (t *Testbed) Hosts(role Role) []Host {
	var hosts []Host
	for _, h := range t.state.Hosts {
		if role == "" || h.Role == role {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Host returns the host of that name.
func (t *Testbed) Host(name string) (Host, error) {
	i := slices.IndexFunc(t.state.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		names := make([]string, len(t.state.Hosts))
		for i, h := range t.state.Hosts {
			names[i] = h.Name
		}
		return Host{}, fmt.Errorf("no host %q: there are %q", name, names)
	}
	return t.state.Hosts[i], nil
}

// DatabaseURL returns the Postgres URL of an orchestrator's database; host is "root" or a cluster's.
func (t *Testbed) DatabaseURL(host string) string { return databaseURL(host) }

// LogFile returns the log of a component, COMPONENT@HOST.
func (t *Testbed) LogFile(component string) string { return t.layout().log(component) }

// ComponentLog returns the log of a component, COMPONENT@HOST, of a testbed that is up or has broken off.
func ComponentLog(name string) (string, error) {
	c, err := component(name)
	if err != nil {
		return "", err
	}
	return c.Spec.Log, nil
}

// LogFiles returns where the logs of the named components, COMPONENT@HOST, are in a testbed kept in dir.
func LogFiles(dir string, components []string) []string {
	files := make([]string, len(components))
	for i, c := range components {
		files[i] = layout{dir}.log(c)
	}
	return files
}

// Components returns all processes that were started, of a testbed that is up or has broken off.
func Components() ([]Component, error) { return components() }
