// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/sla"
)

// maxDescriptor bounds the size of a descriptor, in bytes, as the server does.
const maxDescriptor = 1 << 20

func (p *program) applicationCreate() *cobra.Command {
	var file string
	var deploy bool
	var w waiting
	cmd := &cobra.Command{
		Use: "create [SAMPLE] [-f FILE]", Aliases: []string{"c"}, Short: "Create the applications of a descriptor", Args: cmdline.Args(0, 1),
		Long: `Create the applications of a descriptor: a file in JSON or YAML (-f, with - for standard input) or a sample that oak brings
along (see "oak application sla"). Nothing is deployed unless --deploy is given; then one instance of each service is.`,
		Example: "  oak application create -f app.json --deploy --wait\n  oak application create default",
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "descriptor to create from; - is standard input")
	cmd.Flags().BoolVarP(&deploy, "deploy", "d", false, "deploy one instance of each service")
	w.flags(cmd, "with --deploy, wait until all instances run")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 0) == (file == "") {
			return cmdline.Usagef("give either a sample or -f FILE")
		}
		if w.wait && !deploy {
			return cmdline.Usagef("--wait needs --deploy: a created application alone has nothing to wait for")
		}
		body, err := p.readDescriptor(args, file)
		if err != nil {
			return err
		}
		return p.create(cmd.Context(), body, deploy, w)
	}
	return cmd
}

// readDescriptor returns the descriptor as JSON.
func (p *program) readDescriptor(args []string, file string) ([]byte, error) {
	if file == "" {
		return sample(args[0])
	}
	in, name := p.In, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read descriptor: %w", err)
		}
		defer func() { _ = f.Close() }()
		in, name = f, file
	}
	body, err := io.ReadAll(io.LimitReader(in, maxDescriptor+1))
	if err != nil {
		return nil, fmt.Errorf("read descriptor %s: %w", name, err)
	}
	if len(body) > maxDescriptor {
		return nil, fmt.Errorf("read descriptor %s: it is larger than %d bytes", name, maxDescriptor)
	}
	if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
		if body, err = yaml.YAMLToJSON(body); err != nil {
			return nil, fmt.Errorf("read descriptor %s: %w", name, err)
		}
	}
	var broken *sla.SyntaxError
	if _, err := sla.ParseWith(body, sla.Options{AllowIDs: true}); errors.As(err, &broken) {
		return nil, fmt.Errorf("%s:%d:%d: broken JSON: %s", name, broken.Line, broken.Column, broken.Reason)
	}
	return body, nil
}

// create registers the descriptor's applications and deploys them if asked to. What is wrong with the descriptor the server
// says, since its address ranges decide.
func (p *program) create(ctx context.Context, body []byte, deploy bool, w waiting) error {
	described, faults := sla.ParseWith(body, sla.Options{AllowIDs: true})
	c, err := p.session(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.CreateApplication(ctx, body)
	if err != nil {
		return fmt.Errorf("create application: %w", err)
	}
	if faults != nil {
		return fmt.Errorf("the server took what this oak finds at fault, so the rest was not done: %w", faults)
	}
	var created []client.Application
	for _, a := range described.Applications {
		for _, b := range all {
			if a.Name == b.Name && a.Namespace == b.Namespace {
				created = append(created, b)
			}
		}
	}
	if err := p.printApplications(p.Out, created); err != nil || !deploy {
		return err
	}
	var targets []target
	for _, a := range created {
		services, err := c.Services(ctx, a.ID)
		if err != nil {
			return fmt.Errorf("list services of %s: %w", a.Name, err)
		}
		for _, s := range services {
			t := target{service: s, add: 1}
			if s.Replicas != nil { // root deploys these by itself
				t.add = 0
			}
			targets = append(targets, t)
		}
	}
	return p.addInstances(ctx, c, targets, w)
}
