// SPDX-License-Identifier: Apache-2.0

package install

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed files
var embedded embed.FS

// Script is the name of the script that installs a worker's programs from an archive.
const Script = "install.sh"

// NetworkConfig is the name of the configuration to begin with of a worker's network.
const NetworkConfig = "netcfg.json"

// File returns a file of this package by name: Script, NetworkConfig, or the unit or the environment of a [Service].
func File(name string) []byte {
	text, err := fs.ReadFile(embedded, "files/"+name)
	if err != nil {
		panic(fmt.Sprintf("%s is no file of this package", name)) // names are constants of the code
	}
	return text
}

// Service is a program that runs all the time.
type Service struct {
	// Program is what it is called, on disk and to people.
	Program string
	// User is the system's user that it runs as; empty for root.
	User string
	// State is its folder of state.
	State string
	// EnvPrefix is what its environment variables begin with.
	EnvPrefix string
}

// The services.
var (
	Root    = Service{Program: "root-orchestrator", User: "oakestra-root", State: "/var/lib/oakestra/root", EnvPrefix: "OAK_ROOT_"}
	Cluster = Service{Program: "cluster-orchestrator", User: "oakestra-cluster", State: "/var/lib/oakestra/cluster", EnvPrefix: "OAK_"}
	Engine  = Service{Program: "NodeEngine", State: "/var/lib/oakestra/nodeengine", EnvPrefix: "OAK_NODEENGINE_"}
	Net     = Service{Program: "NetManager", State: "/var/lib/oakestra/netmanager", EnvPrefix: "OAK_NETMANAGER_"}
)

// Unit is the name of its systemd unit.
func (s Service) Unit() string { return strings.ToLower(s.Program) + ".service" }

// Env is the name of its file of environment variables, in [ConfigDir].
func (s Service) Env() string { return strings.ToLower(s.Program) + ".env" }

// Folders of configuration.
const (
	ConfigDir    = "/etc/oakestra"
	NetConfigDir = "/etc/netmanager"
)

// secrets are the files of [ConfigDir] that the service alone may read.
func (s Service) secrets() []string {
	switch s.Program {
	case Root.Program:
		return []string{adminPassword, s.Program + ".password"}
	case Cluster.Program:
		return []string{clusterToken, s.Program + ".password"}
	case Engine.Program:
		return []string{workerToken}
	}
	return nil
}
