// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
	"github.com/oakestra/oakestra-ebpf/orchestrators/settings"
)

// environment is where flags come from that the command line lacks: --root-url from OAK_ROOT_URL.
func environment() cmdline.Program { return cmdline.Program{Prefix: "OAK_", Extra: extra} }

// listenAt is every address of this machine, at a port.
func listenAt(port int) string { return ":" + strconv.Itoa(port) }

func newCommand() *cobra.Command {
	var o cluster.Options
	db := settings.Database{Migrations: records.Migrations()}
	var log cmdline.Log
	var stateDir string
	root := &cobra.Command{
		Use:   "cluster-orchestrator",
		Short: "Run a cluster of an Oakestra installation",
		Long: "Runs a cluster of an Oakestra installation: takes workers in, places what root gives it and tells workers of one another.\n" +
			"Every flag can also be set by an environment variable: --root-url is " + environment().Variable("root-url") + ".",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if db.PasswordFile != "" {
				if err := db.Check(); err != nil {
					return err
				}
			}
			o.Database = db.URL
			if o.Log, err = log.Logger(cmd.ErrOrStderr()); err != nil {
				return err
			}
			if stateDir != "" {
				if err := os.MkdirAll(stateDir, 0o700); err != nil {
					return fmt.Errorf("create --state-dir: %w", err)
				}
			}
			go settings.KeepSmall(cmd.Context())
			return cluster.Run(cmd.Context(), o)
		},
	}
	environment().Adopt(root)
	f := root.Flags()
	f.StringVar(&o.Listen, "listen", listenAt(semantic.ClusterPort), "address of the REST API, TLS and plain on one port")
	f.StringVar(&o.MQTTListen, "mqtt-listen", listenAt(semantic.BrokerPort), "address of the MQTT broker, TLS with client certificates")
	f.StringSliceVar(&o.Brokers, "broker", nil, "HOST:PORT of an external MQTT broker that takes the place of the built-in one; several are tried in order, see the command mosquitto")
	f.StringSliceVar(&o.AdvertiseBrokers, "advertise-broker", nil, "HOST:PORT at which workers reach the external broker, or :PORT at the host that they joined at (default: as --broker)")
	f.StringVar(&o.HelloListen, "hello-listen", listenAt(semantic.BrokerPort), "UDP address at which workers behind a NAT learn where others see them")
	f.StringVar(&o.OtherHelloListen, "other-hello-listen", listenAt(semantic.ClusterPort), "a second such address, by which they learn whether their NAT shows them to all others alike; empty for none")
	f.StringSliceVar(&o.RootURLs, "root-url", nil, "https://HOST:PORT of the root orchestrator; repeatable, for several that serve one database: any that answers is asked")
	f.StringVar(&o.AdvertiseURL, "advertise-url", "", "https://HOST:PORT at which workers reach this very process, for logs and commands; needed with several of them (default: where the workers have joined)")
	f.StringVar(&o.JoinTokenFile, "join-token-file", "", "file with the token to join root with; read only until the cluster has joined")
	f.StringVar(&o.Name, "name", "", "what people call the cluster; unique at its root")
	f.StringVar(&o.Location, "location", "", "where the cluster is: lat,lon[,radius] in degrees and metres, or a name; what was meant as the one and cannot be read is refused")
	f.StringVar(&stateDir, "state-dir", "", "folder for state on disk, created if missing; at present all state is in the database")
	f.BoolVar(&o.HideWorkers, "hide-workers", false, "tell root nothing of single workers when its administrators ask: it cannot cordon or drain them then")
	f.BoolVar(&o.AllowPlain, "allow-plain", false, "let workers on other machines join without TLS")
	f.StringVar(&o.Placement, "placement", string(scheduler.Spread), "which of the workers that can take an instance gets it: "+
		"spread (few of its service, much left free) or best_fit (least left free); services that have to be near to something go to the nearest")
	f.DurationVar(&o.LostAfter, "lost-after", ledger.DefaultLostAfter, "how long a worker has to be gone before its instances go to others")
	f.Uint16Var(&o.TunnelPort, "tunnel-port", semantic.TunnelPort, "UDP port of the overlay on all workers")
	p := root.PersistentFlags()
	db.AddFlag(p)
	log.AddFlags(p)
	root.AddCommand(settings.TokenCommand(pki.RoleWorker, &db, &log), mosquittoCommand(&db, &log), settings.HealthCommand(semantic.ClusterPort), settings.PasswordCommand(), cmdline.VersionCommand(version))
	return root
}
