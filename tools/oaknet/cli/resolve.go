// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/names"
)

func (p *program) resolveCommand() *cobra.Command {
	var as string
	again := &repeat{}
	cmd := &cobra.Command{
		Use: "resolve ADDRESS|NAME|SERVICE|SERVICE.NUMBER", Short: "Say which instance a new flow would get, and why",
		Long: `Says which instance the programs would give a flow that a container here opens now, and why, for a service address or an Instance
IP, all addresses of a service id (or its beginning), an instance's SERVICE.NUMBER, or a name such as web.prod.shop.acme.oak.
Candidates are in the order in which they are looked at. It chooses nothing itself: the turn stays where it is.

A name is looked up as a container of this worker would, from inside it, since names are an organisation's own: --as says which one,
by SERVICE.NUMBER, address or interface; else it is the first that can be found. That needs a running NetManager.`,
		Args: cmdline.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd, again, func(w io.Writer) error { return p.resolve(cmd.Context(), w, args[0], as) })
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return p.completion(serviceKeys)(cmd, args, typed)
		},
	}
	again.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&as, "as", "", "the container that a name is looked up as: SERVICE.NUMBER, address or interface")
	must(cmd.RegisterFlagCompletionFunc("as", p.completion(endpointKeys)))
	return cmd
}

func (p *program) resolve(ctx context.Context, w io.Writer, query, as string) error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	addrs, err := addressesFor(ctx, r, query, as)
	if err != nil {
		return err
	}
	rows := make([]inspect.Resolution, 0, len(addrs))
	for _, a := range addrs {
		one, err := r.Resolve(a)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", a, err)
		}
		rows = append(rows, one)
	}
	if p.format.Data() {
		return output.Value(w, p.format, rows)
	}
	for i, one := range rows {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := p.writeResolution(w, one); err != nil {
			return err
		}
	}
	return nil
}

// addressesFor turns what a person typed into addresses.
func addressesFor(ctx context.Context, r *inspect.Reader, query, as string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(query); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	found, err := r.ServiceAddresses(func(key string) bool { return meansInstance(query, key) })
	if err != nil || len(found) > 0 {
		return found, err
	}
	if !strings.Contains(query, ".") || isHex(strings.ReplaceAll(query, ".", "")) {
		return nil, cmdline.NotFoundf("no service %q here: `oak-net service` lists all", query)
	}
	return lookUp(ctx, r, query, as)
}

// meansInstance is [means] for SERVICE.NUMBER too, of which the service may be cut short.
func meansInstance(typed, key string) bool {
	service, number, ok := strings.Cut(key, ".")
	if !ok {
		return means(typed, key)
	}
	begin, wanted, ok := strings.Cut(typed, ".")
	return ok && wanted == number && means(begin, service)
}

// lookUp asks for a name as one of the containers here.
func lookUp(ctx context.Context, r *inspect.Reader, name, as string) ([]netip.Addr, error) {
	endpoints, err := r.Endpoints()
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	s, err := r.Status()
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	var failed error
	asked := false
	for _, e := range endpoints {
		c := names.Container{Addr: e.NamespaceIP, MAC: e.MAC, Gateway: s.Config.Gateway}
		if !c.Addr.IsValid() {
			c.Addr, c.Gateway = e.NamespaceIPv6, s.Config.GatewayV6
		}
		key := fmt.Sprintf("%s.%d", e.ServiceID, e.Number)
		if as != "" && !meansInstance(as, key) && as != e.Interface && as != text(e.NamespaceIP) && as != text(e.NamespaceIPv6) {
			continue
		}
		if !c.Addr.IsValid() || !c.Gateway.IsValid() || e.ServiceID == "" {
			continue
		}
		asked = true
		found, err := names.Lookup(ctx, name, c)
		var dns *net.DNSError
		switch {
		case err == nil:
			return found, nil
		case errors.As(err, &dns) && dns.IsNotFound:
			return nil, cmdline.NotFoundf("no name %q for instance %s: names are an organisation's own, and --as chooses the instance that asks", name, key)
		case errors.Is(err, names.ErrNoNamespace):
			failed = err
			continue
		case s.Manager.State != "alive":
			return nil, fmt.Errorf("%w: NetManager, who answers, is not alive: give an address or a service id", err)
		}
		return nil, err
	}
	switch {
	case !asked && as != "":
		return nil, cmdline.NotFoundf("no instance %q here to ask for: `oak-net endpoint` lists all", as)
	case !asked:
		return nil, cmdline.NotFoundf("%q is no address and no service here, and names are answered for containers alone, of which there is none here", name)
	}
	return nil, fmt.Errorf("look up %s: %w: run oak-net where the containers' processes are seen", name, failed)
}

// endpointKeys lists what --as takes.
func endpointKeys(r *inspect.Reader) ([]string, error) {
	endpoints, err := r.Endpoints()
	var out []string
	for _, e := range endpoints {
		out = append(out, fmt.Sprintf("%s.%d", e.ServiceID, e.Number), e.Interface, text(e.NamespaceIP))
	}
	return out, err
}

func (p *program) writeResolution(w io.Writer, one inspect.Resolution) error {
	what := ""
	if one.Policy != "" && one.Policy != "none" {
		what = fmt.Sprintf(" (%s of service %s)", one.Policy, one.ServiceID)
	}
	goes := "goes nowhere (" + one.Drop + ")"
	switch one.Goes {
	case inspect.GoesToInstance:
		goes = fmt.Sprintf("goes to instance %d at %s, %s", one.Chosen.Number, text(one.Chosen.NamespaceOf(one.Address)), whereIs(*one.Chosen))
	case inspect.GoesToManager:
		goes = "waits at NetManager"
	case inspect.GoesToHost:
		goes = "goes to the host"
	}
	if _, err := fmt.Fprintf(w, "%s%s: a new flow %s\nbecause %s\n", one.Address, what, goes, one.Why); err != nil {
		return err
	}
	if len(one.Candidates) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return write(p, w, one.Candidates, candidateColumns(one.Policy))
}

func whereIs(c inspect.Candidate) string {
	if c.Local {
		return "on this worker"
	}
	return "on worker " + identity(c.WorkerID, c.Peer)
}

func candidateColumns(policy string) []output.Column[inspect.Candidate] {
	type row = inspect.Candidate
	return []output.Column[row]{
		{Name: "TURN", Value: func(c row) string { return number(c.Turn + 1) }},
		{Name: "NUMBER", Value: func(c row) string { return number(c.Number) }},
		{Name: "WHERE", Value: func(c row) string {
			if c.Local {
				return "local"
			}
			return identity(c.WorkerID, c.Peer)
		}},
		{Name: "NAMESPACE-IP", Value: func(c row) string { return addresses(c.NamespaceIP, c.NamespaceIPv6) }},
		{Name: "USABLE", Value: func(c row) string {
			if c.Usable {
				return "yes"
			}
			return "no: " + c.Unusable
		}},
		{Name: "RTT", Wide: policy != "closest", Value: func(c row) string { return milliseconds(c.RoundTrip) }},
		{Name: "DISTANCE", Wide: policy != "closest", Value: func(c row) string { return kilometres(c.Distance) }},
		{Name: "ACTIVE", Wide: policy != "underutilized", Value: func(c row) string { return number(c.Active) }},
		{Name: "LATELY", Wide: policy != "underutilized", Value: func(c row) string { return number(c.Lately) }},
		{Name: "LOAD", Wide: policy != "underutilized", Value: func(c row) string { return percentOfLoad(c.Load) }},
		{Name: "COST", Wide: true, Value: func(c row) string { return number(c.Cost) }},
		{Name: "CHOSEN", Value: func(c row) string {
			if c.Chosen {
				return "<="
			}
			return ""
		}},
	}
}
