// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) statusCommand() *cobra.Command {
	again := &repeat{}
	run := func(cmd *cobra.Command, _ []string) error {
		return p.run(cmd, again, func(w io.Writer) error {
			r, err := p.open()
			if err != nil {
				return err
			}
			defer func() { _ = r.Close() }()
			s, err := r.Status()
			if err != nil {
				return fmt.Errorf("read status: %w", err)
			}
			return writeStatus(p, w, s)
		})
	}
	cmd := &cobra.Command{
		Use: "status", Short: "Show the datapath as a whole: programs, kernel, NetManager's life, settings, maps",
		Long: `Shows where the worker's datapath is pinned, which programs hang on which interfaces, how the program for each uplink's card runs
(natively in its driver, generically after it, or not, and why), which features of the kernel they make use of and what they fall back on, whether NetManager is alive, what the programs go by, how full the maps are and what memory the
kernel has charged for them. As JSON it is a list of one.`,
		Args: cmdline.Args(0, 0), RunE: run,
	}
	again.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(&cobra.Command{Use: "show", Aliases: []string{"list"}, Short: "Show the same", Args: cmdline.Args(0, 0), RunE: run})
	return cmd
}

func writeStatus(p *program, w io.Writer, s inspect.Status) error {
	if p.format.Data() {
		return output.Value(w, p.format, []inspect.Status{s})
	}
	if err := writeFacts(w, s); err != nil {
		return err
	}
	parts := []func() error{func() error { return write(p, w, s.Programs, programColumns()) }}
	if len(s.Uplinks) > 0 {
		parts = append(parts, func() error { return write(p, w, s.Uplinks, uplinkColumns()) })
	}
	if len(s.Features) > 0 {
		parts = append(parts, func() error { return write(p, w, s.Features, featureColumns()) })
	}
	parts = append(parts, func() error { return write(p, w, s.Maps, mapColumns()) })
	for _, part := range parts {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func writeFacts(w io.Writer, s inspect.Status) error {
	c := s.Config
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, fact := range [][2]string{
		{"worker", s.Worker},
		{"pins", s.Pins},
		{"version", s.Version},
		{"NetManager", managerState(s.Manager)},
		{"service range", ranges(c.ServiceRange.IsValid(), c.ServiceRange, c.ServiceRangeV6.IsValid(), c.ServiceRangeV6)},
		{"worker range", ranges(c.WorkerRange.IsValid(), c.WorkerRange, c.WorkerRangeV6.IsValid(), c.WorkerRangeV6)},
		{"gateway", addresses(c.Gateway, c.GatewayV6)},
		{"tunnel port", number(c.TunnelPort)},
		{"container MTU", number(c.MTU)},
		{"upcall", device(c.UpcallInterface, c.UpcallIfindex)},
		{"kernel", s.Kernel},
		{"fallbacks", fallbacks(s)},
		{"map memory", mebibytes(s.MapBytes) + " MiB"},
	} {
		value := fact[1]
		if value == "" {
			value = "-"
		}
		// No error to check: tabwriter reports at Flush.
		_, _ = fmt.Fprintf(tw, "%s\t%s\n", fact[0], value)
	}
	return tw.Flush()
}

func ranges(has4 bool, v4 fmt.Stringer, has6 bool, v6 fmt.Stringer) string {
	var out []string
	if has4 {
		out = append(out, v4.String())
	}
	if has6 {
		out = append(out, v6.String())
	}
	return strings.Join(out, ",")
}

func managerState(m inspect.Manager) string {
	switch {
	case m.Heartbeat == nil:
		return "never alive since the maps were made"
	case m.Since != nil:
		return fmt.Sprintf("dead since %s (for %s)", moment(m.Since), age(*m.Heartbeat))
	}
	return fmt.Sprintf("%s (heartbeat %s ago)", m.State, age(*m.Heartbeat))
}

// fallbacks names what the kernel lacks or the datapath does without.
func fallbacks(s inspect.Status) string {
	if s.Kernel == "" {
		return "unknown: NetManager has left no record"
	}
	names := []string{}
	for _, f := range s.Fallbacks() {
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}

func mebibytes(bytes uint64) string { return fmt.Sprintf("%.2f", float64(bytes)/(1<<20)) }

func featureColumns() []output.Column[features.Feature] {
	type row = features.Feature
	return []output.Column[row]{
		{Name: "FEATURE", Value: func(f row) string { return f.Name }},
		{Name: "LINUX", Value: func(f row) string { return f.Least }},
		{Name: "FOUND", Value: func(f row) string { return yes(f.Found) }},
		{Name: "USED", Value: func(f row) string { return yes(f.Used) }},
		{Name: "INSTEAD", Value: func(f row) string {
			if f.Used {
				return ""
			}
			return f.Fallback
		}},
		{Name: "FOR", Wide: true, Value: func(f row) string { return f.Use }},
	}
}

func programColumns() []output.Column[inspect.Program] {
	type row = inspect.Program
	return []output.Column[row]{
		{Name: "PROGRAM", Value: func(a row) string { return a.Kind }},
		{Name: "IFINDEX", Value: func(a row) string { return fmt.Sprint(a.Ifindex) }},
		{Name: "INTERFACE", Value: func(a row) string {
			if !a.Attached {
				return "(gone)"
			}
			return a.Interface
		}},
		{Name: "ID", Value: func(a row) string { return number(a.ID) }},
		{Name: "TAG", Value: func(a row) string { return a.Tag }},
		{Name: "LOADED", Value: func(a row) string { return moment(a.LoadedAt) }},
		{Name: "NAME", Wide: true, Value: func(a row) string { return a.Name }},
	}
}

func uplinkColumns() []output.Column[features.Uplink] {
	type row = features.Uplink
	return []output.Column[row]{
		{Name: "UPLINK", Value: func(u row) string { return u.Name }},
		{Name: "IFINDEX", Value: func(u row) string { return fmt.Sprint(u.Ifindex) }},
		{Name: "XDP", Value: func(u row) string { return u.XDP }},
		{Name: "DECAPSULATES", Value: func(u row) string { return yes(u.Decap) }},
		{Name: "WHY", Value: func(u row) string { return u.Why }},
	}
}

func mapColumns() []output.Column[inspect.MapUse] {
	type row = inspect.MapUse
	return []output.Column[row]{
		{Name: "MAP", Value: func(m row) string { return m.Name }},
		{Name: "TYPE", Value: func(m row) string { return m.Type }},
		{Name: "ENTRIES", Value: func(m row) string {
			if m.Entries == nil {
				return ""
			}
			return number(*m.Entries)
		}},
		{Name: "MAX", Value: func(m row) string { return number(m.MaxEntries) }},
		{Name: "FILL", Value: func(m row) string {
			if m.Entries == nil || m.MaxEntries == 0 {
				return ""
			}
			return fmt.Sprintf("%.1f%%", 100*float64(*m.Entries)/float64(m.MaxEntries))
		}},
		{Name: "MIB", Value: func(m row) string {
			if m.Bytes == nil {
				return ""
			}
			return mebibytes(*m.Bytes)
		}},
		{Name: "BYTES", Wide: true, Value: func(m row) string {
			if m.Bytes == nil {
				return ""
			}
			return number(*m.Bytes)
		}},
	}
}
