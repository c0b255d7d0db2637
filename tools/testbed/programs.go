// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// RootPort is where a root orchestrator listens, its default.
const RootPort = "10000"

// Ports of the other programs; their defaults.
const (
	clusterPort  = "10100"
	mqttPort     = "10003"
	registryPort = "5000"
	tunnelPort   = "50103"
)

// Program names, which are those of their components.
const (
	progRoot       = "root-orchestrator"
	progCluster    = "cluster-orchestrator"
	progEngine     = "NodeEngine"
	progNet        = "NetManager"
	progContainerd = "containerd"
	progPostgres   = "postgres"
	progRegistry   = "registry"
	progRelay      = "relay"
	progMosquitto  = "mosquitto"
)

// programs lists what has to be in the folder of programs.
func programs(hosts []Host) []string {
	names := []string{progRoot}
	has := func(r Role) bool { return slices.ContainsFunc(hosts, func(h Host) bool { return h.Role == r }) }
	if has(RoleCluster) {
		names = append(names, progCluster)
	}
	if has(RoleWorker) {
		names = append(names, progEngine, progNet)
	}
	return names
}

// registryAddress is where the registry listens: the machine's own address, reachable from every host.
func registryAddress(f underlay.Family) string {
	return net.JoinHostPort(f.Machine.String(), registryPort)
}

// component fills in what all components have in common. Path is relative to the folder of programs.
func (t *Testbed) component(name, host, path string, args ...string) Component {
	if !filepath.IsAbs(path) {
		path = t.state.program(path)
	}
	c := Component{Name: name, Host: host}
	c.Spec = proc.Spec{Path: path, Args: args, Env: env(t.state.Dir, host), Log: t.layout().log(c.String())}
	if host != Machine {
		c.Spec.Host = host
	}
	return c
}

// program returns the file of one of our own programs.
func (s *state) program(name string) string {
	if dir, ok := s.Elsewhere[name]; ok {
		return filepath.Join(dir, name)
	}
	return filepath.Join(s.Bin, name)
}

func (t *Testbed) registry(self string) Component {
	c := t.component(progRegistry, Machine, self, "registry", "--listen", t.state.Registry)
	c.Ready = Probe{URL: "http://" + t.state.Registry + "/v2/"}
	c.Socket = t.state.Registry
	return c
}

func (t *Testbed) root(h Host) Component {
	c := t.component(progRoot, h.Name, progRoot,
		"--listen", ":"+RootPort, "--allow-plain",
		"--database", databaseURL(rootHost),
		"--admin-password-file", t.layout().passwordFile(),
		"--secrets-key-file", t.layout().disk(rootHost, "secrets.key"))
	if t.state.ClusterLostAfter > 0 {
		c.Spec.Args = append(c.Spec.Args, "--lost-after", t.state.ClusterLostAfter.String())
	}
	if len(t.Hosts(RoleRoot)) > 1 { // a stream has to reach the process that waits for it
		c.Spec.Args = append(c.Spec.Args, "--advertise-url", "https://"+net.JoinHostPort(h.Address, RootPort))
	}
	c.Ready = Probe{URL: "http://" + net.JoinHostPort(h.Address, RootPort) + "/readyz"}
	c.Socket = net.JoinHostPort(h.Address, RootPort)
	return c
}

// cluster returns the orchestrator of a cluster that runs on host h: the cluster's own, or its standby's.
func (t *Testbed) cluster(h, cluster Host) Component {
	c := t.component(progCluster, h.Name, progCluster,
		"--listen", ":"+clusterPort, "--mqtt-listen", ":"+mqttPort,
		"--database", databaseURL(cluster.Name),
		"--join-token-file", t.layout().disk(cluster.Name, "join-token"),
		"--name", cluster.Name, "--location", "48.26,11.67,1000",
		"--state-dir", t.layout().disk(h.Name, progCluster), "--allow-plain")
	for _, root := range t.Hosts(RoleRoot) {
		c.Spec.Args = append(c.Spec.Args, "--root-url", "https://"+net.JoinHostPort(root.Address, RootPort))
	}
	ready := "/readyz"
	broker := net.JoinHostPort(cluster.Address, mqttPort)
	switch {
	case len(t.Hosts(RoleStandby)) > 0:
		// Whichever is active, workers find the broker where it is, and whoever waits for a stream. Who waits is well, but not ready.
		c.Spec.Args = append(c.Spec.Args, "--broker", broker, "--advertise-broker", broker, "--advertise-url", "https://"+net.JoinHostPort(h.Address, clusterPort))
		ready = "/healthz"
	case t.state.Broker == BrokerMosquitto:
		c.Spec.Args = append(c.Spec.Args, "--broker", broker, "--advertise-broker", ":"+mqttPort)
	}
	if t.state.LostAfter > 0 {
		c.Spec.Args = append(c.Spec.Args, "--lost-after", t.state.LostAfter.String())
	}
	c.Ready = Probe{URL: "http://" + net.JoinHostPort(h.Address, clusterPort) + ready}
	c.Socket = net.JoinHostPort(h.Address, clusterPort)
	return c
}

func (t *Testbed) netManager(h Host) Component {
	c := t.component(progNet, h.Name, progNet,
		"--state-dir", t.layout().disk(h.Name, progNet),
		"--run-dir", run(h.Name, progNet), "--socket", NetManagerSocket(h.Name),
		"--bpffs", bpffs, "--uplink", underlay.Uplink, "--tunnel-port", tunnelPort, "--name", h.Name, "--resolv-conf", t.ResolvConf(h.Name))
	c.Ready = Probe{Socket: NetManagerSocket(h.Name)}
	c.Socket = NetManagerSocket(h.Name)
	return c
}

func (t *Testbed) nodeEngine(h Host, cluster Host) Component {
	c := t.component(progEngine, h.Name, progEngine,
		"-a", cluster.Address, "-p", clusterPort,
		"--join-token-file", t.layout().disk(h.Name, "join-token"),
		"--state-dir", t.layout().disk(h.Name, progEngine), "--run-dir", run(h.Name, progEngine),
		"--containerd", ContainerdSocket(h.Name), "--containerd-namespace", containerdNS,
		"--netmanager", NetManagerSocket(h.Name),
		"--insecure-registry", t.state.Registry, "--name", h.Name)
	return c
}

// databaseURL returns the URL of one database of the testbed's Postgres, by its Unix socket, which every host can reach.
func databaseURL(name string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=postgres", name, postgresRun)
}
