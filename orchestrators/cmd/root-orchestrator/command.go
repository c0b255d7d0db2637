// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/settings"
)

// environment is where flags come from that the command line lacks.
func environment() cmdline.Program { return cmdline.Program{Prefix: "OAK_ROOT_", Extra: extra} }

// options are the flags' values.
type options struct {
	listen        string
	database      settings.Database
	allowPlain    bool
	adminPassword string
	secretsKey    string
	keyAsked      bool // not the default
	names         []string
	certificate   settings.Certificate
	lostAfter     time.Duration
	userRate      float64
	peerRate      float64
	mail          mailOptions
	advertise     string
	log           cmdline.Log
	areas         map[string]string
	ranges        map[string]*string
}

func newCommand() *cobra.Command {
	o := &options{database: settings.Database{Migrations: schema.Files()}, ranges: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   "root-orchestrator",
		Short: "Run the root of an Oakestra installation",
		Long: "Run the root of an Oakestra installation: the REST API for users, and the port that clusters dial.\n\n" +
			"Each flag can be set by an environment variable as well: --allow-plain is " + environment().Variable("allow-plain") + ".",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.keyAsked = o.secretsKey != defaultSecretsKey
			return o.run(cmd.Context(), log)
		},
	}
	environment().Adopt(cmd)
	every := cmd.PersistentFlags()
	o.database.AddFlag(every)
	o.log.AddFlags(every)
	own := cmd.Flags()
	own.StringVar(&o.listen, "listen", ":"+strconv.Itoa(semantic.RootPort), "address to listen on, for TLS and plain HTTP")
	own.BoolVar(&o.allowPlain, "allow-plain", false, "let other machines log in over plain HTTP: their passwords travel unprotected")
	own.StringVar(&o.adminPassword, "admin-password-file", "", "file with the password for the account Admin, read when the account is created; "+
		"without it a random one is logged once")
	own.StringVar(&o.secretsKey, "secrets-key-file", defaultSecretsKey, "file with the key that seals users' secrets, made at the first start; back it up, "+
		"apart from the database, and give all roots of an installation the same. "+secretsKeyVariable+" may hold the key itself instead: base64 of 32 bytes")
	own.StringSliceVar(&o.names, "name", nil, "DNS name or IP address by which users reach this root, for its TLS certificate; repeatable")
	o.certificate.AddFlags(own)
	own.StringToStringVar(&o.areas, "area", nil, "NAME=lat:lon[:radius] of a place that latency constraints may name, in degrees and metres, "+
		"such as --area munich=48.14:11.58:15000; repeatable")
	own.StringVar(&o.advertise, "advertise-url", "", "https://HOST:PORT at which clusters reach this very process, for logs and commands; needed with several of them on one database "+
		"(default: where the clusters find their root)")
	own.Float64Var(&o.userRate, "rate-limit-user", 500, "requests a second that one user may make, and six times as many at once; 0 for no limit")
	own.Float64Var(&o.peerRate, "rate-limit-address", 1000, "requests a second that may come from one address, and six times as many at once; 0 for no limit. "+
		"Clusters, which show their certificate, are not limited")
	o.mail.addFlags(own)
	own.DurationVar(&o.lostAfter, "lost-after", root.DefaultLostAfter, "how long a cluster may be silent before its instances are given to other clusters")
	r := semantic.DefaultRanges()
	for _, f := range []struct{ key, value, what string }{
		{addresses.KeyWorkersV4, r.WorkersV4.String(), "IPv4 range of the workers' subnets"},
		{addresses.KeyWorkersV6, r.WorkersV6.String(), "IPv6 range of the workers' subnets"},
		{addresses.KeyServicesV4, r.ServicesV4.String(), "IPv4 range of service addresses and Instance IPs"},
		{addresses.KeyServicesV6, r.ServicesV6.String(), "IPv6 range of service addresses and Instance IPs"},
	} {
		o.ranges[f.key] = own.String(f.key, f.value, f.what+"; fixed at the first start, later only to be enlarged")
	}
	cmd.AddCommand(settings.TokenCommand(pki.RoleCluster, &o.database, &o.log), settings.HealthCommand(semantic.RootPort), settings.PasswordCommand(), o.secretsCommand(), cmdline.VersionCommand(version))
	return cmd
}

// overlay reads the address ranges.
func (o *options) overlay() (r wire.Ranges, err error) {
	for key, into := range map[string]*netip.Prefix{
		addresses.KeyWorkersV4: &r.WorkersV4, addresses.KeyWorkersV6: &r.WorkersV6,
		addresses.KeyServicesV4: &r.ServicesV4, addresses.KeyServicesV6: &r.ServicesV6,
	} {
		if *into, err = netip.ParsePrefix(*o.ranges[key]); err != nil {
			return r, cmdline.Usagef("read --%s: %w", key, err)
		}
	}
	return r, nil
}

// places reads the areas. A colon is what flags of a list leave free.
func (o *options) places() (map[string]wire.Point, error) {
	out := map[string]wire.Point{}
	for name, text := range o.areas {
		at, radius, ok := geo.Parse(strings.ReplaceAll(text, ":", ","))
		if name = strings.ToLower(strings.TrimSpace(name)); !ok || name == "" {
			return nil, cmdline.Usagef("flag --area: %q is not NAME=lat:lon[:radius] in degrees and metres", name+"="+text)
		}
		out[name] = wire.Point{Location: &at, RadiusKM: radius}
	}
	return out, nil
}
