// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// requests is how many requests the client makes, pings how many echoes it asks for, servers how many instances serve them.
const (
	requests = 12
	pings    = 3
	servers  = 3
)

func (d *demo) steps() []step {
	control := []string{"root-orchestrator@root", "cluster-orchestrator@c1"}
	workers := []string{"NodeEngine@c1-w1", "NodeEngine@c1-w2", "NetManager@c1-w1", "NetManager@c1-w2"}
	overlay := []string{"NetManager@c1-w1", "NetManager@c1-w2", "cluster-orchestrator@c1"}
	return []step{
		{"start a root, a cluster and two workers", append(control, workers...), d.start},
		{"build two sample images and push them", []string{"registry@machine"}, d.images},
		{"deploy the descriptor with oak", append(control, workers...), d.deploy},
		{"show what oak knows", control, d.show},
		{"let the client's worker meet the service at a first call", overlay, d.meet},
		{fmt.Sprintf("%d requests through the round-robin service address", requests), overlay, d.requests},
		{"ping the service address", overlay, d.ping},
		{"show what the kernels of the workers hold", overlay, d.maps},
	}
}

func (d *demo) start(ctx context.Context) error {
	o := d.o.Testbed
	o.Progress = func(step string, took time.Duration) { d.say("  %6.2f s  %s", took.Seconds(), step) }
	t, err := testbed.Up(ctx, o)
	if err != nil {
		return err
	}
	d.scene, err = scene.New(ctx, t, o.Bin, d.home)
	return err
}

func (d *demo) images(ctx context.Context) error {
	refs, err := d.scene.PushImages(ctx)
	for _, r := range refs {
		d.say("  %s", r)
	}
	return err
}

func (d *demo) deploy(ctx context.Context) error {
	for _, args := range [][]string{
		{"application", "create", "-f", d.o.Descriptor},
		{"service", "deploy", "client", "server"},
		{"service", "deploy", "server", "--instances", fmt.Sprint(servers - 1), "--wait"},
	} {
		if err := d.oak(ctx, args...); err != nil {
			return err
		}
	}
	// The client was asked for first, but nobody has waited for it.
	return scene.Until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := d.scene.Client(ctx)
		return err
	})
}

func (d *demo) show(ctx context.Context) error {
	for _, args := range [][]string{
		{"cluster", "list"}, {"worker", "list"}, {"application", "list"}, {"service", "list"}, {"service", "show", "server"},
	} {
		if err := d.oak(ctx, args...); err != nil {
			return err
		}
	}
	server, err := d.scene.Service(ctx, "server")
	if err != nil {
		return err
	}
	placed, err := d.scene.Containers(ctx, string(server.ID))
	if err != nil {
		return err
	}
	on := map[string]int{}
	for _, c := range placed {
		on[c.Worker]++
	}
	d.say("  containerd has the server's containers here: %v", on)
	if len(placed) != servers || len(on) != len(d.scene.Testbed.Hosts(testbed.RoleWorker)) {
		return fmt.Errorf("want %d servers spread over both workers, got %v", servers, on)
	}
	return nil
}

func (d *demo) meet(ctx context.Context) error {
	client, server, err := d.parties(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := d.scene.Settle(ctx, client, server, servers); err != nil {
		return err
	}
	d.say("  all %d servers, here and across the tunnel, answer after %d ms", servers, time.Since(start).Milliseconds())
	return nil
}

func (d *demo) requests(ctx context.Context) error {
	client, server, err := d.parties(ctx)
	if err != nil {
		return err
	}
	var r hello.GetReport
	if err := d.scene.Call(ctx, client, &r, "get", "http://"+server+"/", "-n", fmt.Sprint(requests)); err != nil {
		return err
	}
	for i, name := range r.Order {
		d.say("  request %2d  answered by %s", i+1, name)
	}
	for peer := range r.Peers {
		d.say("  the servers see the client as %s", peer)
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of %d requests failed: %s", r.Failed, r.Requests, strings.Join(r.Errors, "; "))
	}
	for name, n := range r.Instances {
		if n != requests/servers {
			return fmt.Errorf("instance %s has answered %d times, want %d: %v", name, n, requests/servers, r.Instances)
		}
	}
	if len(r.Instances) != servers {
		return fmt.Errorf("%d instances have answered, want %d: %v", len(r.Instances), servers, r.Instances)
	}
	return nil
}

func (d *demo) ping(ctx context.Context) error {
	client, server, err := d.parties(ctx)
	if err != nil {
		return err
	}
	var r hello.PingReport
	if err := d.scene.Call(ctx, client, &r, "ping", server, "-n", fmt.Sprint(pings)); err != nil {
		return err
	}
	d.say("  %d of %d echoes came back from %s, in %.2f ms on the average", r.Received, r.Sent, server, r.MeanMS)
	if r.Received != r.Sent {
		return errors.New("some echoes were lost")
	}
	return nil
}

// parties returns the client's container and the server's round-robin address.
func (d *demo) parties(ctx context.Context) (scene.Container, string, error) {
	server, err := d.scene.Service(ctx, "server")
	if err != nil {
		return scene.Container{}, "", err
	}
	client, err := d.scene.Client(ctx)
	return client, server.RoundRobin, err
}

// maps shows what oak-net reads out of the pinned maps of the client's worker.
func (d *demo) maps(ctx context.Context) error {
	client, err := d.scene.Client(ctx)
	if err != nil {
		return err
	}
	for _, what := range []string{"status", "service", "backend", "endpoint", "node", "flow", "drop"} {
		d.say("  $ oak-net %s                     (on %s)", what, client.Worker)
		out, err := d.scene.OakNet(ctx, client.Worker, what)
		if err != nil {
			return err
		}
		d.say("%s", indent(out))
	}
	return nil
}

// oak runs a command of oak and shows it with what it prints.
func (d *demo) oak(ctx context.Context, args ...string) error {
	d.say("  $ oak %s", strings.Join(args, " "))
	out, remarks, err := d.scene.Oak(ctx, args...)
	if s := strings.TrimRight(remarks+out, "\n"); s != "" && err == nil {
		d.say("%s", indent(s))
	}
	return err
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}
