// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) watchCommand() *cobra.Command {
	filter, h, by := &flowFilter{}, &how{}, inspect.ByService
	cmd := &cobra.Command{
		Use: "watch", Short: "Show live rates, by service",
		Long: `Shows what the flows of each service did in the last interval, again and again until interrupted: how many there are, how many
were opened and ended a second, and what went from the openers (TX) and towards them (RX), in packets and bits a second. --by adds
up by instance, by the other worker (- stays here) or by protocol instead. Rates come from the flows themselves, so that it costs
the datapath nothing; what a flow did between its last sample and its end is not seen. JSON and YAML have bytes a second.`,
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(inspect.Groupings(), by) {
				return cmdline.Usagef("unknown --by %q: use %s", by, strings.Join(inspect.Groupings(), ", "))
			}
			return p.watch(cmd, filter, h, by)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&by, "by", by, "what to add up by: "+strings.Join(inspect.Groupings(), ", "))
	h.addOrder(cmd, output.Names(rateColumns("")))
	h.addInterval(flags)
	filter.addFlags(p, cmd)
	must(cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(inspect.Groupings(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (p *program) watch(cmd *cobra.Command, filter *flowFilter, h *how, by string) error {
	if err := h.check(); err != nil {
		return err
	}
	if err := filter.check(); err != nil {
		return err
	}
	if _, err := shape(h, nil, rateColumns(by)); err != nil {
		return err
	}
	before, at, err := p.sample(filter)
	if err != nil {
		return err
	}
	select {
	case <-cmd.Context().Done():
		return nil
	case <-time.After(h.interval):
	}
	return p.screens(cmd.Context(), &h.repeat, func(w io.Writer) error {
		after, now, err := p.sample(filter)
		if err != nil {
			return err
		}
		rates := inspect.Rates(before, after, now.Sub(at), by)
		before, at = after, now
		if rates, err = shape(h, rates, rateColumns(by)); err != nil {
			return err
		}
		return write(p, w, rates, rateColumns(by))
	})
}

// sample reads the flows that pass, and says when. The maps are opened anew each time: NetManager may have replaced them.
func (p *program) sample(filter *flowFilter) ([]inspect.Flow, time.Time, error) {
	r, err := p.open()
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = r.Close() }()
	at := time.Now()
	flows, err := r.Flows()
	if err != nil {
		return nil, at, fmt.Errorf("read flows: %w", err)
	}
	return slices.DeleteFunc(flows, func(f inspect.Flow) bool { return !filter.takes(f) }), at, nil
}

// rateColumns lists the columns of a grouping, all if it is empty.
func rateColumns(by string) []output.Column[inspect.Rate] {
	type row = inspect.Rate
	keys := map[string][]output.Column[row]{
		inspect.ByService: {{Name: "SERVICE", Value: func(r row) string { return r.ServiceID }}},
		inspect.ByInstance: {
			{Name: "SERVICE", Value: func(r row) string { return r.ServiceID }},
			{Name: "NUMBER", Value: func(r row) string {
				if r.Number == nil || r.ServiceID == "" {
					return ""
				}
				return number(*r.Number)
			}},
		},
		inspect.ByWorker:   {{Name: "WORKER", Value: func(r row) string { return r.WorkerID }}},
		inspect.ByProtocol: {{Name: "PROTO", Value: func(r row) string { return r.Protocol }}},
	}
	columns := keys[by]
	if by == "" {
		columns = slices.Concat(keys[inspect.ByInstance], keys[inspect.ByWorker], keys[inspect.ByProtocol])
	}
	rate := func(name string, of func(row) float64) output.Column[row] {
		return output.Column[row]{Name: name, Value: func(r row) string { return short(of(r)) }, By: of}
	}
	return append(columns,
		output.Column[row]{Name: "FLOWS", Value: func(r row) string { return number(r.Flows) }},
		rate("NEW/S", func(r row) float64 { return r.Opened }),
		rate("END/S", func(r row) float64 { return r.Ended }),
		rate("TX-PACKETS/S", func(r row) float64 { return r.TxPackets }),
		rate("TX-BIT/S", func(r row) float64 { return 8 * r.TxBytes }),
		rate("RX-PACKETS/S", func(r row) float64 { return r.RxPackets }),
		rate("RX-BIT/S", func(r row) float64 { return 8 * r.RxBytes }),
	)
}
