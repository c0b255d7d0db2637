// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/netcfg"
	"github.com/oakestra/oakestra-ebpf/dataplane/agent"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/dns"
)

// options are the flags.
type options struct {
	agent  agent.Config
	netcfg string
	log    cmdline.Log
}

// environment is where flags come from that the command line lacks.
func environment() cmdline.Program { return cmdline.Program{Prefix: "OAK_NETMANAGER_", Extra: extra} }

func command() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "NetManager",
		Short: "Attach a worker's containers to the overlay network",
		Long: "NetManager loads the eBPF dataplane of a worker, attaches containers to it and keeps its routes.\n" +
			"It runs in its host's network namespace and needs root. At its end, however it comes, everything in the kernel goes on;\n" +
			"the next start takes it over without losing a packet of a known flow.\n" +
			"Every flag can be set by an environment variable too: --state-dir is " + environment().Variable("state-dir") + ".",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	environment().Adopt(root)
	f := root.Flags()
	c := &o.agent
	o.addPlaces(f)
	f.Uint16Var(&c.TunnelPort, "tunnel-port", 0, fmt.Sprintf("UDP port of the overlay (default: what the cluster says, else %d)", agent.DefaultTunnelPort))
	f.Uint16VarP(&c.Port, "port", "p", 0, "TCP port on loopback for the local API as well; the token to send is written to --run-dir (default: none)")
	f.StringVar(&c.ResolvConf, "resolv-conf", dns.DefaultResolvConf, "file that names the worker's own resolvers, which other names than the overlay's are forwarded to")
	f.Uint32Var(&c.FlowShare, "flow-share", 0, fmt.Sprintf(
		"established flows of a family that a container may have, after which it is refused new ones (default: an eighth of the map's, %d of IPv4 and %d of IPv6)",
		bpf.Share4, bpf.Share6))
	f.StringVar(&o.netcfg, "config", "", "netcfg.json: NodePublicAddress and NodePublicPort, where others reach this worker if not at its uplink's address, DefaultInterface and Debug "+
		"(default: "+netcfg.Path+", if it is there)")
	f.BoolVar(&c.XDPDecap, "xdp-decapsulation", false, "have the uplink's driver take tunnel headers off, where it runs XDP programs itself: oak-net status says whether it does")
	p := root.PersistentFlags()
	p.StringVar(&c.Socket, "socket", "/run/oakestra/netmanager.sock", "Unix socket of the local API")
	o.log.AddFlags(p)
	root.AddCommand(cmdline.VersionCommand(version), statusCommand(o), uninstallCommand(o))
	return root
}

// addPlaces adds the flags that say where a worker's things are.
func (o *options) addPlaces(f *pflag.FlagSet) {
	c := &o.agent
	f.StringVar(&c.Name, "name", cmdline.Hostname(), "name of the worker: of its folder of pins and its lock; unlike any other on this machine")
	f.StringVar(&c.StateDir, "state-dir", "/var/lib/oakestra/netmanager", "folder of what outlives a restart and a reboot")
	f.StringVar(&c.RunDir, "run-dir", "/run/oakestra", "folder of the lock and of the token of the local API's TCP form")
	f.StringVar(&c.BPFFS, "bpffs", datapath.DefaultBPFFS, "mount point of the BPF file system")
	f.StringVar(&c.Uplink, "uplink", "", "device towards other workers (default: the default route's, or the only one with an address)")
}

func (o *options) run(cmd *cobra.Command) error {
	file, err := netcfg.Find(o.netcfg)
	if err != nil {
		return err
	}
	if file.Debug && !cmd.Flags().Changed("log-level") {
		o.log.Debug()
	}
	log, err := o.log.Logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	for _, text := range file.Warnings {
		log.Warn("network configuration: "+text, "file", cmp.Or(o.netcfg, netcfg.Path))
	}
	if os.Geteuid() != 0 {
		return errors.New("loading eBPF programs and making network devices needs root: run it as root")
	}
	o.agent.Public = agent.Public{Address: file.PublicAddress, Port: file.PublicPort}
	o.agent.Uplink = cmp.Or(o.agent.Uplink, file.Uplink)
	o.agent.Version, o.agent.Log = cmdline.Version(version), log
	if err := agent.Run(cmd.Context(), o.agent); err != nil {
		return err
	}
	log.Info("NetManager ends; what it attached goes on")
	return nil
}
