// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/settings"
)

// Bounds of how long a broker's certificate may be valid.
const (
	minBrokerTTL = time.Hour
	maxBrokerTTL = 5 * 365 * 24 * time.Hour
)

// mosquittoCommand prepares an external broker.
func mosquittoCommand(db *settings.Database, log *cmdline.Log) *cobra.Command {
	var s external.Setup
	cmd := &cobra.Command{
		Use:   "mosquitto",
		Short: "Write what mosquitto needs to be the broker of this cluster",
		Long: "Writes certificates, access rules and mosquitto.conf into a folder, so that mosquitto can take the place of the built-in broker:\n" +
			"start it with \"mosquitto -c DIR/" + external.ConfigFile + "\" and the cluster orchestrators with --broker HOST:PORT. The broker's certificate is\n" +
			"valid for --ttl: run this again before, and have mosquitto reload (SIGHUP).",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.TTL < minBrokerTTL || s.TTL > maxBrokerTTL {
				return cmdline.Usagef("--ttl %s is not within %s and %s", s.TTL, minBrokerTTL, maxBrokerTTL)
			}
			if s.Dir == "" {
				return cmdline.Usagef("flag --dir is missing: name the folder that the files go to")
			}
			l, err := log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			pool, err := db.Open(cmd.Context(), l)
			if err != nil {
				return err
			}
			defer pool.Close()
			ca, err := identity.LoadCA(cmd.Context(), pool)
			if err != nil {
				return err
			}
			file, err := external.Prepare(ca, s)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), file)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Dir, "dir", "", "folder that the files go to (required)")
	f.StringVar(&s.User, "user", "mosquitto", "account that mosquitto runs as")
	f.Uint16Var(&s.Port, "port", 10003, "TCP port that mosquitto listens on")
	f.StringVar(&s.Owner, "owner", "", "UID:GID of that account, where it is none of this machine's, as with a container's (default: as this machine has it)")
	f.StringSliceVar(&s.Names, "server-name", nil, "further DNS names and addresses to certify, for clients that are not Oakestra's")
	f.DurationVar(&s.TTL, "ttl", 365*24*time.Hour, "how long the broker's certificate is valid")
	return cmd
}
