// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// DefaultTunnelPort is the overlay's UDP port unless configured otherwise; the reference system uses it too.
const DefaultTunnelPort = 50103

// Config is what NetManager is started with.
type Config struct {
	// Name names the worker's folder of pins and its lock, so that several workers can share a machine.
	Name string
	// StateDir is the folder of what outlives a restart and a reboot.
	StateDir string
	// RunDir is the folder of what does not outlive a reboot: the lock, and the token of the local API's TCP form.
	RunDir string
	// Socket is the path of the local API's Unix socket.
	Socket string
	// Port is the loopback TCP port of the local API; 0 for none.
	Port uint16
	// BPFFS is the mount point of the BPF file system.
	BPFFS string
	// Uplink is the device towards other workers; empty to find it.
	Uplink string
	// TunnelPort is this worker's UDP port; 0 for what the cluster says, [DefaultTunnelPort] until it has.
	TunnelPort uint16
	// Public is where other workers reach this one, if that is not the uplink's address: either part may be zero.
	Public Public
	// ResolvConf is the file that names the worker's own resolvers; empty for the system's.
	ResolvConf string
	// XDPDecap has the uplink's card take the outer headers off other workers' packets, where its driver runs such programs.
	XDPDecap bool
	// EchoEvery is how often the ways to other workers are measured; 5 s if zero.
	EchoEvery time.Duration
	// FlowShare is how many established flows of a family a container may have; an eighth of all if zero.
	FlowShare uint32
	// Without names features of the kernel to do without, as in [datapath.Options].
	Without []string
	// Version is reported to NodeEngine.
	Version string
	Log     *slog.Logger
}

// Public is an address by which others reach this worker, such as that of a port forwarding.
type Public struct {
	Address netip.Addr
	Port    uint16
}

func (c *Config) check() error {
	if c.StateDir == "" || c.Socket == "" || c.RunDir == "" {
		return errors.New("state folder, run folder and socket are all needed")
	}
	if c.Name == "" || strings.ContainsAny(c.Name, "/ ") || c.Name == "." || c.Name == ".." {
		return errors.New("the worker's name has to be usable as a folder: set --name")
	}
	return nil
}
