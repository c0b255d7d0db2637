// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
)

// tellEvery is how often progress is told.
const tellEvery = 10 * time.Second

func workersCommand(progress io.Writer) *cobra.Command {
	var o fleet.Options
	var tokenFile string
	var shares []string
	cmd := &cobra.Command{
		Use: "workers", Short: "Have hollow workers join a cluster that runs, until they are interrupted", Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Workers < 1 {
				return cmdline.Usagef("flag --workers: %d: at least one is needed", o.Workers)
			}
			if o.Shares, err = parseShares(shares); err != nil {
				return cmdline.Usagef("flag --share: %w", err)
			}
			token, err := os.ReadFile(tokenFile)
			if err != nil {
				return fmt.Errorf("read the join token (--token-file): %w", err)
			}
			o.Token = strings.TrimSpace(string(token))
			return workers(cmd.Context(), o, sayTo(progress))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Cluster, "cluster", "127.0.0.1:10100", "HOST:PORT of the cluster orchestrator's API")
	f.StringVar(&tokenFile, "token-file", "", "file with a token to join with, good for all of them: cluster-orchestrator token create --role worker --uses N")
	f.IntVar(&o.Workers, "workers", 100, "how many")
	f.StringVar(&o.Prefix, "prefix", "hollow-", "what their names begin with")
	f.Uint64Var(&o.Seed, "seed", 1, "decides who misbehaves, and when")
	f.StringSliceVar(&shares, "share", nil, "part of them that misbehaves, 0 to 1: "+kindNames()+", such as slow=0.05; repeatable")
	f.DurationVar(&o.Create, "create", hollow.DefaultCreate, "how long a container takes to be created and started")
	f.DurationVar(&o.Every, "every", hollow.DefaultEvery, "mean time between two misdeeds of one worker")
	f.IntVar(&o.Joining, "joining", fleet.DefaultJoining, "how many join at the same time")
	_ = cmd.MarkFlagRequired("token-file")
	return cmd
}

func kindNames() string {
	var names []string
	for _, k := range hollow.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// parseShares reads KIND=SHARE. Shares that come to more than one are refused.
func parseShares(texts []string) (map[hollow.Kind]float64, error) {
	out := map[hollow.Kind]float64{}
	sum := 0.0
	for _, text := range texts {
		name, number, _ := strings.Cut(text, "=")
		known := false
		for _, k := range hollow.Kinds() {
			known = known || string(k) == name
		}
		if !known {
			return nil, fmt.Errorf("%q: kinds are %s", text, kindNames())
		}
		share, err := strconv.ParseFloat(number, 64)
		if err != nil || !(share >= 0 && share <= 1) {
			return nil, fmt.Errorf("%q: a share is a number from 0 to 1", text)
		}
		out[hollow.Kind(name)] = share
	}
	for _, s := range out {
		sum += s
	}
	if sum > 1 {
		return nil, fmt.Errorf("shares come to %g of all, more than there are", sum)
	}
	return out, nil
}

// workers runs a fleet until ctx ends.
func workers(ctx context.Context, o fleet.Options, say func(string, ...any)) error {
	began := time.Now()
	f, err := fleet.Start(ctx, o)
	if err != nil {
		return err
	}
	defer f.Close()
	say("%d workers have joined within %v", o.Workers, time.Since(began).Round(time.Millisecond))
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			say("%d connected, %d containers run", f.Connected(), f.Running())
		}
	}
}
