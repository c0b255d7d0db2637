// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 {
		<-ctx.Done()
		return
	}
	if err := do(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "hello-client:", err)
		os.Exit(1) //nolint:gocritic // the deferred call only restores signals
	}
}

// options are those of all subcommands.
type options struct {
	n         int
	perSecond int
	seconds   int
	timeout   time.Duration
	// Of lookups alone.
	kind  string
	tcp   bool
	until time.Duration
}

func do(ctx context.Context, verb string, args []string) error {
	if len(args) == 0 {
		return errors.New("want hello-client VERB TARGET [FLAGS]")
	}
	var o options
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 1, "how many requests or packets")
	flags.IntVar(&o.perSecond, "per-second", 200, "new connections a second")
	flags.IntVar(&o.seconds, "seconds", 5, "for how long")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait for each answer")
	flags.StringVar(&o.kind, "type", "A", "type of the records to look up")
	flags.BoolVar(&o.tcp, "tcp", false, "look up over TCP")
	flags.DurationVar(&o.until, "until", 0, "for how long to look up again while no answer comes")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	report, err := call(ctx, verb, args[0], o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func call(ctx context.Context, verb, target string, o options) (any, error) {
	switch verb {
	case "get":
		return get(ctx, target, o), nil
	case "rate":
		return rate(ctx, target, o), nil
	case "download":
		return download(ctx, target)
	case "udp-burst":
		return burst(ctx, target, o)
	case "ping":
		return ping(ctx, target, o)
	case "lookup":
		return lookup(ctx, target, o)
	}
	return nil, fmt.Errorf("verb %q: want get, rate, download, udp-burst, ping or lookup", verb)
}
