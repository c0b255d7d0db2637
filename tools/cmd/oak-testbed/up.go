// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func upCommand() *cobra.Command {
	var o testbed.Options
	cmd := &cobra.Command{
		Use:   "up",
		Short: "start a testbed; return when all is ready",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := locate(&o); err != nil {
				return err
			}
			start := time.Now()
			o.Progress = progress(cmd.ErrOrStderr())
			t, err := testbed.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			return welcome(cmd.OutOrStdout(), t, o.Bin, time.Since(start))
		},
	}
	dirFlag(cmd, &o.Dir)
	cmd.Flags().StringVar(&o.Bin, "bin", "", "folder of the programs (default: where oak-testbed is)")
	cmd.Flags().IntVar(&o.Roots, "roots", 1, "number of root orchestrators, all over one database")
	cmd.Flags().IntVar(&o.Clusters, "clusters", 1, "number of clusters")
	cmd.Flags().IntVar(&o.Workers, "workers", 2, "number of workers in each cluster")
	cmd.Flags().BoolVar(&o.IPv6, "ipv6", false, "give hosts addresses of IPv6 alone, not of IPv4 alone")
	cmd.Flags().BoolVar(&o.Fsync, "fsync", false, "make Postgres durable, at the price of speed")
	cmd.Flags().StringVar(&o.Broker, "broker", testbed.BrokerBuiltin, "the clusters' MQTT broker: "+testbed.BrokerBuiltin+" or "+testbed.BrokerMosquitto)
	cmd.Flags().BoolVar(&o.Standby, "standby", false, "give each cluster a second orchestrator, which takes over from the first; needs --broker "+testbed.BrokerMosquitto)
	cmd.Flags().BoolVar(&o.NAT, "nat", false, "put the workers of each cluster behind a router that translates their addresses")
	cmd.Flags().DurationVar(&o.LostAfter, "lost-after", 0, "how long a worker has to be gone before its instances go to others (default: the clusters' own)")
	cmd.Flags().DurationVar(&o.ClusterLostAfter, "cluster-lost-after", 0, "how long a cluster has to be gone before its instances go to others (default: root's own)")
	return cmd
}

// locate fills in where this program is, and takes its folder for that of the others unless another is given.
func locate(o *testbed.Options) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	o.Self = self
	if o.Bin == "" {
		o.Bin = filepath.Dir(self)
	}
	if o.Bin, err = filepath.Abs(o.Bin); err != nil {
		return fmt.Errorf("find the folder of programs: %w", err)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("find the testbed's folder: %w", err)
	}
	return nil
}

// progress tells of each step on w.
func progress(w io.Writer) func(string, time.Duration) {
	return func(step string, took time.Duration) {
		_, _ = fmt.Fprintf(w, "  %6.2f s  %s\n", took.Seconds(), step)
	}
}

// welcome says where things are and what to type next.
func welcome(w io.Writer, t *testbed.Testbed, bin string, took time.Duration) error {
	api := t.API()
	rel := bin
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, bin); err == nil && len(r) < len(bin) {
			rel = r
		}
	}
	_, err := fmt.Fprintf(w, `
The testbed is up after %.1f s: %d clusters, %d workers.

  API       %s
  login     %s / %s
  registry  %s

What to type next:

  export PATH=%s:$PATH
  OAK_PASSWORD=%s oak login --url %s --username %s
  oak cluster list                              the clusters that root knows
  oak-testbed status                            hosts, addresses, processes, logs
  oak-testbed exec c1-w1 -- ip addr             look around on a host
  oak-testbed logs NetManager@c1-w1 -f          follow a log
  oak-testbed fault restart NodeEngine@c1-w1    break something
  oak-testbed down                              end it all
`, took.Seconds(), len(t.Hosts(testbed.RoleCluster)), len(t.Hosts(testbed.RoleWorker)),
		api.URL, api.Username, api.Password, t.Registry(), rel, api.Password, api.URL, api.Username)
	return err
}
