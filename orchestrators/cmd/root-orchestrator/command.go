// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// envPrefix starts the name of the environment variable of each flag: --allow-plain is OAK_ROOT_ALLOW_PLAIN.
const envPrefix = "OAK_ROOT_"

// settings are the flags' values.
type settings struct {
	listen        string
	database      string
	allowPlain    bool
	adminPassword string
	names         []string
	logLevel      string
	logFormat     string
	ranges        map[string]*string
}

func newCommand() *cobra.Command {
	s := &settings{ranges: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   "root-orchestrator",
		Short: "Run the root of an Oakestra installation",
		Long: "Run the root of an Oakestra installation: the REST API for users, and the port that clusters dial.\n\n" +
			"Each flag can be set by an environment variable as well: --allow-plain is OAK_ROOT_ALLOW_PLAIN.",
		Args:              cobra.NoArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags()) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), s) },
	}
	every := cmd.PersistentFlags()
	every.StringVar(&s.database, "database", "", "URL of the Postgres database, such as postgres://user@host/oakestra (required)")
	every.StringVar(&s.logLevel, "log-level", "info", "least level of what is logged: debug, info, warn or error")
	every.StringVar(&s.logFormat, "log-format", "text", "form of the log on standard error: text or json")
	own := cmd.Flags()
	own.StringVar(&s.listen, "listen", ":10000", "address to listen on, for TLS and plain HTTP")
	own.BoolVar(&s.allowPlain, "allow-plain", false, "let other machines log in over plain HTTP: their passwords travel unprotected")
	own.StringVar(&s.adminPassword, "admin-password-file", "", "file with the password for the account Admin, read when the account is created; "+
		"without it a random one is logged once")
	own.StringSliceVar(&s.names, "name", nil, "DNS name or IP address by which users reach this root, for its TLS certificate; repeatable")
	r := semantic.DefaultRanges()
	for _, f := range []struct{ key, value, what string }{
		{addresses.KeyWorkersV4, r.WorkersV4.String(), "IPv4 range of the workers' subnets"},
		{addresses.KeyWorkersV6, r.WorkersV6.String(), "IPv6 range of the workers' subnets"},
		{addresses.KeyServicesV4, r.ServicesV4.String(), "IPv4 range of service addresses and Instance IPs"},
		{addresses.KeyServicesV6, r.ServicesV6.String(), "IPv6 range of service addresses and Instance IPs"},
	} {
		s.ranges[f.key] = own.String(f.key, f.value, f.what+"; fixed at the first start, later only to be enlarged")
	}
	cmd.AddCommand(newTokenCommand(s), newVersionCommand())
	return cmd
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	}
}

// fromEnvironment sets each flag that was not given from its environment variable, if there is one.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("read environment variable %s: %w", name, e)
		}
	})
	return err
}

func (s *settings) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("read --log-level: %q is none of debug, info, warn, error", s.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch s.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, opts)), nil
	}
	return nil, fmt.Errorf("read --log-format: %q is neither text nor json", s.logFormat)
}

func (s *settings) overlay() (r wire.Ranges, err error) {
	for key, into := range map[string]*netip.Prefix{
		addresses.KeyWorkersV4: &r.WorkersV4, addresses.KeyWorkersV6: &r.WorkersV6,
		addresses.KeyServicesV4: &r.ServicesV4, addresses.KeyServicesV6: &r.ServicesV6,
	} {
		if *into, err = netip.ParsePrefix(*s.ranges[key]); err != nil {
			return r, fmt.Errorf("read --%s: %w", key, err)
		}
	}
	return r, nil
}

func (s *settings) requireDatabase() error {
	if s.database == "" {
		return fmt.Errorf("--database (or %sDATABASE) is missing: give the URL of a Postgres database", envPrefix)
	}
	return nil
}
