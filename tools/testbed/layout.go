// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"path/filepath"
)

// DefaultDir is where the testbed keeps what would be on its hosts' disks, unless configured.
const DefaultDir = "/var/lib/oak-testbed"

const (
	// runDir holds what would be lost by a reboot: sockets, states of containers, records of processes. It has one place,
	// so that any later command finds a testbed whatever its folder.
	runDir = "/run/oak-testbed"
	// lockFile keeps two commands from changing the testbed at once; it is outside runDir, which comes and goes under it.
	lockFile = "/run/oak-testbed.lock"
	// bpffs is where the kernel's pinned objects are shown.
	bpffs = "/sys/fs/bpf"
	// markerFile is in every folder that the testbed made, so that it never deletes another's.
	markerFile = ".oak-testbed"
	// envDir is the variable that marks every process of a testbed; its value is the testbed's folder.
	envDir = "OAK_TESTBED"
	// envHost tells a process which host it is on.
	envHost = "OAK_TESTBED_HOST"
	// containerdNS is the containerd namespace of Oakestra's workloads.
	containerdNS = "oakestra"
)

var (
	stateFile     = filepath.Join(runDir, "state.json")
	componentsDir = filepath.Join(runDir, "components")
	postgresRun   = filepath.Join(runDir, "postgres")
	relaySocket   = filepath.Join(runDir, "relay.sock")
	ownBpffsFile  = filepath.Join(runDir, "mounted-bpffs")
)

// layout says where things are under the testbed's folder.
type layout struct{ dir string }

func (l layout) marker() string              { return filepath.Join(l.dir, markerFile) }
func (l layout) logs() string                { return filepath.Join(l.dir, "logs") }
func (l layout) log(component string) string { return filepath.Join(l.logs(), component+".log") }
func (l layout) postgres() string            { return filepath.Join(l.dir, "postgres") }
func (l layout) passwordFile() string        { return filepath.Join(l.dir, "admin-password") }

// disk returns a folder or file on a host's disk, run one that a reboot of the host loses.
func (l layout) disk(host string, name ...string) string {
	return filepath.Join(append([]string{l.dir, "hosts", host}, name...)...)
}

func run(host string, name ...string) string {
	return filepath.Join(append([]string{runDir, "hosts", host}, name...)...)
}

// resolvConf is the file on a host's disk that names its resolvers, in place of the machine's own.
const resolvConf = "resolv.conf"

// ResolvConf returns the file that names a host's resolvers, at first none. NetManager follows it.
func (t *Testbed) ResolvConf(host string) string { return t.layout().disk(host, resolvConf) }

// ContainerdSocket returns the socket of a worker's containerd, NetManagerSocket that of its NetManager.
func ContainerdSocket(host string) string { return run(host, "containerd.sock") }

// NetManagerSocket returns the socket of the local API of a worker's NetManager.
func NetManagerSocket(host string) string { return run(host, "netmanager.sock") }
