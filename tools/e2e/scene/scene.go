// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Names of the images of the hello application in the testbed's registry.
const (
	ImageServer = "hello-server"
	ImageClient = "hello-client"
)

// Scene is a testbed with somebody logged in.
type Scene struct {
	Testbed *testbed.Testbed
	API     *client.Client
	bin     string
	home    string
}

// New logs in at the testbed's root. bin is the folder of the programs; home is where oak keeps its login.
func New(ctx context.Context, t *testbed.Testbed, bin, home string) (*Scene, error) {
	c, err := client.New(client.Options{URL: t.API().URL, UserAgent: "oak-e2e"})
	if err != nil {
		return nil, err
	}
	if err := c.Login(ctx, t.API().Username, t.API().Password, ""); err != nil {
		return nil, fmt.Errorf("log in at root: %w", err)
	}
	return &Scene{Testbed: t, API: c, bin: bin, home: home}, nil
}

// LoginAt logs in at the root orchestrator of a host, with several of them.
func (s *Scene) LoginAt(ctx context.Context, host string) (*client.Client, error) {
	h, err := s.Testbed.Host(host)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{URL: "http://" + net.JoinHostPort(h.Address, testbed.RootPort), UserAgent: "oak-e2e"})
	if err != nil {
		return nil, err
	}
	if err := c.Login(ctx, s.Testbed.API().Username, s.Testbed.API().Password, ""); err != nil {
		c.Close()
		return nil, fmt.Errorf("log in at %s: %w", host, err)
	}
	return c, nil
}

// PushImages pushes the two sample images, which the build has put beside the programs, and returns their references.
func (s *Scene) PushImages(ctx context.Context) ([]string, error) {
	var refs []string
	for _, name := range []string{ImageServer, ImageClient} {
		dir := filepath.Join(s.bin, "images", name)
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("find the sample workload %s: %w: build it with \"make build\"", name, err)
		}
		ref, err := s.Testbed.Image(ctx, name, dir, []string{"/" + name})
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// Service returns the service of that name, once it exists.
func (s *Scene) Service(ctx context.Context, name string) (*client.Service, error) {
	apps, err := s.API.Applications(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range apps {
		services, err := s.API.Services(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		for _, v := range services {
			if v.Name == name {
				return s.API.Service(ctx, v.ID)
			}
		}
	}
	return nil, fmt.Errorf("no service %q", name)
}

// Until polls f until it returns no error, and returns its last one when ctx or the time is over.
func Until(ctx context.Context, within time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error // what was missing before the time was over
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
