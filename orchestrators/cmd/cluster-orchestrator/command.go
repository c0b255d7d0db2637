// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
)

// envPrefix precedes the environment variable of every flag: --root-url is OAK_ROOT_URL.
const envPrefix = "OAK_"

func newCommand() *cobra.Command {
	var o cluster.Options
	var stateDir string
	root := &cobra.Command{
		Use:   "cluster-orchestrator",
		Short: "Run a cluster of an Oakestra installation",
		Long: "Runs a cluster of an Oakestra installation: takes workers in, places what root gives it and tells workers of one another.\n" +
			"Every flag can also be set by an environment variable: " + envPrefix + " and the flag's name in capitals, with _ for -.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) },
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Log, err = newLog(cmd); err != nil {
				return err
			}
			if stateDir != "" {
				if err := os.MkdirAll(stateDir, 0o700); err != nil {
					return fmt.Errorf("create --state-dir: %w", err)
				}
			}
			return cluster.Run(cmd.Context(), o)
		},
	}
	f := root.Flags()
	f.StringVar(&o.Listen, "listen", ":10100", "address of the REST API, TLS and plain on one port")
	f.StringVar(&o.MQTTListen, "mqtt-listen", ":10003", "address of the MQTT broker, TLS with client certificates")
	f.StringVar(&o.RootURL, "root-url", "", "https://HOST:PORT of the root orchestrator")
	f.StringVar(&o.JoinTokenFile, "join-token-file", "", "file with the token to join root with; read only until the cluster has joined")
	f.StringVar(&o.Name, "name", "", "what people call the cluster; unique at its root")
	f.StringVar(&o.Location, "location", "", "lat,lon[,radius] in degrees and metres, or free text")
	f.StringVar(&stateDir, "state-dir", "", "folder for state on disk, created if missing; at present all state is in the database")
	f.BoolVar(&o.AllowPlain, "allow-plain", false, "let workers on other machines join without TLS")
	f.DurationVar(&o.LostAfter, "lost-after", ledger.DefaultLostAfter, "how long a worker has to be gone before its instances go to others")
	f.Uint16Var(&o.TunnelPort, "tunnel-port", semantic.TunnelPort, "UDP port of the overlay on all workers")
	p := root.PersistentFlags()
	p.StringVar(&o.Database, "database", "", "URL of the cluster's Postgres, postgres://USER@HOST/NAME")
	p.String("log-level", "info", "debug, info, warn or error")
	p.String("log-format", "text", "text or json")
	root.AddCommand(newTokenCommand(&o), newVersionCommand())
	return root
}

// fromEnvironment sets each flag that the command line lacks from its environment variable.
func fromEnvironment(cmd *cobra.Command) (err error) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && !f.Changed && err == nil {
			if e := cmd.Flags().Set(f.Name, v); e != nil {
				err = fmt.Errorf("environment variable %s: %w", name, e)
			}
		}
	})
	return err
}

func newLog(cmd *cobra.Command) (*slog.Logger, error) {
	name, _ := cmd.Flags().GetString("log-level")
	format, _ := cmd.Flags().GetString("log-format")
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, fmt.Errorf("--log-level %q is none of debug, info, warn, error", name)
	}
	o := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q is neither text nor json", format)
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		version := "unknown"
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
		}
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), version)
	}}
}
