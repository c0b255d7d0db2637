// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/netcfg"
)

// Defaults of the programs that matter to who looks for them before they have ever run.
const (
	defaultStateDir  = "/var/lib/oakestra/nodeengine"
	defaultNetcfg    = netcfg.Path
	defaultTunnel    = 50103
	defaultRootPort  = 10000
	defaultClusterAt = 10100
)

// Flag is a setting of a program that a caller may say in its place.
type Flag struct{ Name, Usage string }

// Flags lists what may be said for machines of a role, under the names that the programs' own flags have.
func Flags(role Role) []Flag {
	database := []Flag{
		{"database", "URL of the Postgres database"}, {"database-password-file", "file with the password for the database"},
		{"listen", "address that the API is to listen on"},
	}
	switch role {
	case Root:
		return append(database, Flag{"secrets-key-file", "file with the key that seals users' secrets"})
	case Cluster:
		return append(database, Flag{"mqtt-listen", "address of the built-in MQTT broker"}, Flag{"root-url", "https://HOST:PORT of the root orchestrator"},
			Flag{"join-token-file", "file with the token to join root with"}, Flag{"state-dir", "folder for state on disk"})
	}
	return []Flag{
		{"cluster-address", "host of the cluster orchestrator"}, {"cluster-port", "port of the cluster orchestrator"},
		{"join-token-file", "file with the token to join with"}, {"state-dir", "NodeEngine's state folder"}, {"run-dir", "NodeEngine's run folder"},
		{"containerd", "Unix socket of containerd"}, {"netcfg", "netcfg.json"}, {"name", "name of the worker"},
		{"netmanager-state-dir", "NetManager's state folder"}, {"socket", "Unix socket of NetManager's local API"}, {"port", "TCP port of NetManager's local API"},
		{"bpffs", "mount point of the BPF file system"}, {"uplink", "device towards other workers"}, {"tunnel-port", "UDP port of the overlay"},
	}
}

// settings are what a program is told: by the caller, by its command line, by its environment, or by the file that its unit reads that from.
type settings struct {
	name   string
	said   map[string]string // by the caller
	rename map[string]string // the caller's name of a flag, where two programs have one of that name
	prog   program           // the zero value: it does not run
	prefix string            // of its environment
}

// get returns a flag's value, or what it is without having been given. The shorthand is a letter, or "".
func (s settings) get(name, shorthand, without string) string {
	if all := s.all(name, shorthand); len(all) > 0 {
		return all[len(all)-1]
	}
	return without
}

// all returns the values of a flag that may be given several times.
func (s settings) all(name, shorthand string) []string {
	called := name
	if other, ok := s.rename[name]; ok {
		called = other
	}
	if v, ok := s.said[called]; ok && v != "" {
		return []string{v}
	}
	var out []string
	for i := 1; i < len(s.prog.args); i++ {
		arg := s.prog.args[i]
		if v, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			out = append(out, v)
		} else if next := i + 1; (arg == "--"+name || shorthand != "" && arg == "-"+shorthand) && next < len(s.prog.args) {
			out = append(out, s.prog.args[next])
			i = next
		} else if v, ok := strings.CutPrefix(arg, "-"+shorthand); ok && shorthand != "" && v != "" && !strings.HasPrefix(arg, "--") {
			out = append(out, strings.TrimPrefix(v, "="))
		}
	}
	if len(out) > 0 {
		return out
	}
	env := s.prog.env
	if s.prog.pid == 0 {
		env = environmentFile("/etc/oakestra/" + strings.ToLower(s.name) + ".env")
	}
	if v := env[cmdline.Program{Prefix: s.prefix}.Variable(name)]; v != "" {
		return []string{v}
	}
	return nil
}

// environmentFile reads what a unit's program will have in its environment; nothing if there is no such file.
func environmentFile(path string) map[string]string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	env := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") && !strings.HasPrefix(name, ";") {
			env[name] = strings.Trim(value, `"'`)
		}
	}
	return env
}

// machine is what the checks of one role look at.
type machine struct {
	role Role
	// running are the programs of the role, contained says that one of them runs in a container.
	running   []program
	contained bool
	// engine and net are a worker's settings, own an orchestrator's.
	engine, net, own settings
	above            *above // the tier above; nil for root
}

func newMachine(role Role, running []program, said map[string]string) *machine {
	m := &machine{role: role}
	find := func(name string) program {
		i := slices.IndexFunc(running, func(p program) bool { return p.name == name && !p.contained })
		if i < 0 {
			i = slices.IndexFunc(running, func(p program) bool { return p.name == name })
		}
		if i < 0 {
			return program{}
		}
		m.running = append(m.running, running[i])
		m.contained = m.contained || running[i].contained
		return running[i]
	}
	switch role {
	case Root:
		m.own = settings{name: progRoot, said: said, prog: find(progRoot), prefix: "OAK_ROOT_"}
	case Cluster:
		m.own = settings{name: progCluster, said: said, prog: find(progCluster), prefix: "OAK_"}
		m.above = &above{m: m}
	case Worker:
		m.engine = settings{name: progEngine, said: said, prog: find(progEngine), prefix: "OAK_NODEENGINE_", rename: map[string]string{"config": "netcfg"}}
		m.net = settings{name: progNet, said: said, prog: find(progNet), prefix: "OAK_NETMANAGER_", rename: map[string]string{"config": "netcfg", "state-dir": "netmanager-state-dir"}}
		m.above = &above{m: m}
	}
	return m
}

// runs returns the running program of that name.
func (m *machine) runs(name string) (program, bool) {
	i := slices.IndexFunc(m.running, func(p program) bool { return p.name == name })
	if i < 0 {
		return program{}, false
	}
	return m.running[i], true
}

// The places of a worker.
func (m *machine) stateDir() string { return m.engine.get("state-dir", "", defaultStateDir) }
func (m *machine) netStateDir() string {
	return m.net.get("state-dir", "", "/var/lib/oakestra/netmanager")
}
func (m *machine) containerd() string {
	return m.engine.get("containerd", "", "/run/containerd/containerd.sock")
}
func (m *machine) bpffs() string { return m.net.get("bpffs", "", "/sys/fs/bpf") }
func (m *machine) workerName() string {
	return m.net.get("name", "", m.engine.get("name", "", cmdline.Hostname()))
}

func (m *machine) tunnelPort() int {
	return number(m.net.get("tunnel-port", "", ""), defaultTunnel)
}

// netcfg reads netcfg.json as the programs do.
func (m *machine) netcfg() (netcfg.File, string, error) {
	path := m.engine.get("config", "", m.net.get("config", "", ""))
	f, err := netcfg.Find(path)
	if path == "" {
		path = defaultNetcfg
	}
	return f, path, err
}

// tokenFile is where the token to join with is.
func (m *machine) tokenFile() string {
	if m.role == Worker {
		return m.engine.get("join-token-file", "", "/etc/oakestra/worker.token")
	}
	return m.own.get("join-token-file", "", "")
}

// listen is where an orchestrator's API listens.
func (m *machine) listen() string {
	if m.role == Root {
		return m.own.get("listen", "", ":"+strconv.Itoa(defaultRootPort))
	}
	return m.own.get("listen", "", ":"+strconv.Itoa(defaultClusterAt))
}

// portOf returns the port of an address to listen on; 0 if there is none.
func portOf(listen string) int {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return 0
	}
	return number(port, 0)
}

func number(s string, without int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return without
	}
	return n
}

// firstFolder returns the folder that is there of a path: itself, or the nearest above.
func firstFolder(path string) string {
	for path != "/" && path != "." && path != "" {
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			return path
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return "/"
}
