// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/netcfg"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/netmanager"
)

// options are the flags.
type options struct {
	cluster            string
	clusterByDefault   bool // nobody has named it
	port               int
	tokenFile          string
	stateDir, runDir   string
	containerd         string
	namespace          string
	netManager         string // as it was given; empty: one is to be started
	netManagerToken    string
	netManagerAt       netmanager.Address
	netcfg             string
	mqttPort           uint16 // of the cluster's brokers, as netcfg.json says; 0: as the cluster says
	insecureRegistries []string
	name               string
	location           string
	at                 *wire.Location // what location says; nil: where the cluster is
	privileged         bool
	addons             []string
	uplinkKbit         int64
	stopGrace          time.Duration
	whenCutOff         string
	logging            cmdline.Log
	log                *slog.Logger
}

// What --when-cut-off may say.
const (
	keepRunning = "keep"
	stopAll     = "stop"
)

// defaultTokenFile is where a cluster orchestrator on the same machine, or whoever sets a worker up, leaves a token.
const defaultTokenFile = "/etc/oakestra/worker.token"

// environment is where flags come from that the command line lacks.
func environment() cmdline.Program { return cmdline.Program{Prefix: "OAK_NODEENGINE_", Extra: extra} }

// addonName is what an add-on may be called, and maxUplinkKbit the fastest uplink: 1 Tbit/s.
var addonName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

const maxUplinkKbit = 1_000_000_000

// workerName is what a cluster takes as the name of a worker.
var workerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

func command() *cobra.Command {
	root, _ := commandOf()
	return root
}

// commandOf returns the command, and where its flags go.
func commandOf() (*cobra.Command, *options) {
	o := &options{}
	root := &cobra.Command{
		Use:   "NodeEngine",
		Short: "Run the instances that a cluster gives to this worker",
		Long: "NodeEngine joins a cluster once, with a token, and from then on runs what the cluster wants, in containers of containerd,\n" +
			"attached to the overlay by NetManager. It needs root. At its end, however it comes, the workloads run on; the next start\n" +
			"adopts them.\n" +
			"Every flag can be set by an environment variable too: --state-dir is " + environment().Variable("state-dir") + ".",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return o.serve(cmd.Context())
		},
	}
	environment().Adopt(root)
	f := root.Flags()
	f.StringVarP(&o.cluster, "cluster-address", "a", "", "host of the cluster orchestrator to join (default: ClusterUrl of netcfg.json, else this machine)")
	f.IntVarP(&o.port, "cluster-port", "p", semantic.ClusterPort, "port of the cluster orchestrator")
	f.StringVar(&o.tokenFile, "join-token-file", defaultTokenFile, "file with the token to join with; not read once the worker has joined, unless its certificate runs out")
	o.addPlaces(f)
	f.StringVarP(&o.netManager, "netmanager", "n", "", "NetManager's local API: its port on loopback or its Unix socket (default: start NetManager, and again should it end, with its API on "+netmanager.DefaultSocket+")")
	f.StringVar(&o.netManagerToken, "netmanager-token-file", "", "file with the token of NetManager's API on a port (default: where the NetManager of a worker of this --name writes it)")
	f.StringVar(&o.netcfg, "config", "", "netcfg.json: ClusterUrl and ClusterMqttPort, where the cluster is (default: "+netcfg.Path+", if it is there)")
	f.StringSliceVar(&o.insecureRegistries, "insecure-registry", nil, "HOST:PORT of a registry to be spoken to over plain HTTP; several times, or separated by commas")
	f.StringVar(&o.name, "name", cmdline.Hostname(), "what people call this worker")
	f.StringVar(&o.location, "location", "", "where this worker is: lat,lon in degrees; empty for where its cluster is")
	f.StringSliceVar(&o.addons, "addon", nil, "what this worker offers to services that ask for it in a constraint of type addons, such as camera; "+
		"several times, or separated by commas")
	f.Int64Var(&o.uplinkKbit, "uplink-kbit", 0, "kbit/s of this worker's uplink, in each direction, that services may have set aside; 0 for the speed that its link tells")
	f.BoolVar(&o.privileged, "allow-privileged", false, "let descriptors ask for privileged containers, which own this machine")
	f.DurationVar(&o.stopGrace, "stop-grace", 5*time.Second, "time that a container has between SIGTERM and SIGKILL")
	f.StringVar(&o.whenCutOff, "when-cut-off", keepRunning, "what becomes of the instances when the cluster is away for so long that it gives them to others: keep (running) or stop (until it is back)")
	p := root.PersistentFlags()
	p.StringVar(&o.runDir, "run-dir", "/run/oakestra/nodeengine", "folder of what need not outlive a reboot: network namespaces, the socket of status")
	o.logging.AddFlags(p)
	root.AddCommand(cmdline.VersionCommand(version), statusCommand(o), uninstallCommand(o))
	return root, o
}

// addPlaces adds the flags that say where a worker's things are, besides --run-dir.
func (o *options) addPlaces(f *pflag.FlagSet) {
	f.StringVar(&o.stateDir, "state-dir", "/var/lib/oakestra/nodeengine", "folder of what outlives a restart and a reboot: identity, desired state, logs")
	f.StringVar(&o.containerd, "containerd", "/run/containerd/containerd.sock", "Unix socket of containerd")
	f.StringVar(&o.namespace, "containerd-namespace", "oakestra", "containerd namespace for images and containers")
}

// places finds out where the cluster and NetManager are.
func (o *options) places(cmd *cobra.Command) error {
	file, err := netcfg.Find(o.netcfg)
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("cluster-address") {
		o.cluster = cmp.Or(file.Cluster, "127.0.0.1")
		o.clusterByDefault = true
	}
	o.mqttPort = file.MQTTPort
	o.netManagerAt = netmanager.Address{Socket: netmanager.DefaultSocket}
	if o.netManager == "" {
		return nil
	}
	if o.netManagerAt, err = netmanager.ParseAddress(o.netManager); err != nil {
		return cmdline.Usagef("flag --netmanager: %v", err)
	}
	o.netManagerAt.TokenFile = cmp.Or(o.netManagerToken, netmanager.DefaultTokenFile(o.name, o.netManagerAt.Port))
	return nil
}

// check refuses what cannot work, before anything is touched.
func (o *options) check(cmd *cobra.Command) error {
	log, err := o.logging.Logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o.log = log
	if os.Geteuid() != 0 {
		return errors.New("running containers needs root: run it as root")
	}
	if err := o.places(cmd); err != nil {
		return err
	}
	if !workerName.MatchString(o.name) {
		return cmdline.Usagef("flag --name: %q is not a host name of letters, digits, dots and hyphens", o.name)
	}
	if o.location != "" {
		at, _, ok := geo.Parse(o.location)
		if !ok {
			return cmdline.Usagef("flag --location: %q is not lat,lon in degrees, such as 48.26,11.67", o.location)
		}
		o.at = &at
	}
	for _, name := range o.addons {
		if !addonName.MatchString(name) {
			return cmdline.Usagef("flag --addon: %q is no name of an add-on: it does not match %s", name, addonName)
		}
	}
	if o.uplinkKbit < 0 || o.uplinkKbit > maxUplinkKbit {
		return cmdline.Usagef("flag --uplink-kbit: %d is not from 0 to %d", o.uplinkKbit, int64(maxUplinkKbit))
	}
	if o.port < 1 || o.port > 65535 {
		return cmdline.Usagef("flag --cluster-port: %d is not from 1 to 65535", o.port)
	}
	if o.whenCutOff != keepRunning && o.whenCutOff != stopAll {
		return cmdline.Usagef("flag --when-cut-off: %q is none of %s, %s", o.whenCutOff, keepRunning, stopAll)
	}
	if o.stopGrace < 0 || o.stopGrace > 10*time.Minute {
		return cmdline.Usagef("flag --stop-grace: %s is not from 0 to 10 minutes", o.stopGrace)
	}
	for _, dir := range []*string{&o.stateDir, &o.runDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return fmt.Errorf("folder %s: %w", *dir, err)
		}
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return nil
}
