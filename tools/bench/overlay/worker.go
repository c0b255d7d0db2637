// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// worker is a host with its NetManager, and its cluster's broker.
type worker struct {
	*broker
	name    string
	subnets []netip.Prefix
	process *lab.Process
	log     string
	socket  string
	told    wire.NetEndpoints
}

func (o *Overlay) startWorker(ctx context.Context, ns *lab.Namespace, name, id string, subnets []netip.Prefix) (*worker, error) {
	b, err := newBroker(id, ns)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(lab.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of worker %s: %w", name, err)
	}
	w := &worker{broker: b, name: name, subnets: subnets, log: filepath.Join(dir, "log"), socket: filepath.Join(dir, "s")}
	log, err := os.Create(w.log)
	if err != nil {
		return nil, fmt.Errorf("make the log of worker %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	w.process, err = o.pair.Lab.Start(lab.Command{Namespace: ns, Path: o.options.Program, Stdout: log, Stderr: log, Args: []string{
		"--name", name, "--state-dir", filepath.Join(dir, "state"), "--run-dir", filepath.Join(dir, "run"), "--socket", w.socket,
		"--bpffs", o.pair.Lab.BPFFS(), "--uplink", topology.Uplink, "--log-level", "info",
	}})
	if err != nil {
		return nil, err
	}
	o.pair.Lab.Keep(w.process)
	if err := w.join(ctx); err != nil {
		return nil, fmt.Errorf("start worker %s: %w%s", name, err, w.complaint())
	}
	return w, nil
}

// complaint is the end of NetManager's log, for an error.
func (w *worker) complaint() string {
	text, _ := os.ReadFile(w.log)
	return "\n" + string(text[max(0, len(text)-1500):])
}

func (w *worker) join(ctx context.Context) error {
	if err := w.publish(wire.TopicNetNode, wire.NetNode{
		Header: w.stamp(), WorkerID: w.worker, TunnelPort: 50103, Subnets: w.subnets,
		Ranges: wire.Ranges{WorkersV4: workers4, WorkersV6: workers6, ServicesV4: services4, ServicesV6: services6},
	}, true); err != nil {
		return err
	}
	if err := w.eventually(ctx, "NetManager answers", func() (bool, error) {
		if !w.process.Running() {
			return false, errors.New("it has ended")
		}
		return w.ask(ctx, http.MethodGet, "/healthz", nil, nil) == nil, nil
	}); err != nil {
		return err
	}
	identity, err := w.identity()
	if err != nil {
		return err
	}
	if err := w.ask(ctx, http.MethodPut, wire.PathLocalIdentity, identity, nil); err != nil {
		return err
	}
	return w.eventually(ctx, "it is ready", func() (bool, error) {
		var s wire.LocalStatus
		err := w.ask(ctx, http.MethodGet, wire.PathLocalStatus, nil, &s)
		return s.Ready && s.Connected, err
	})
}

// ask speaks with NetManager's local API.
func (w *worker) ask(ctx context.Context, method, path string, in, out any) error {
	data, err := w.request(ctx, method, path, in)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("decode NetManager's answer: %w", err)
	}
	return nil
}

// request returns the answer as it is.
func (w *worker) request(ctx context.Context, method, path string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://netmanager"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask NetManager: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read NetManager's answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("ask NetManager for %s: %s: %s", path, resp.Status, bytes.TrimSpace(data))
	}
	return data, nil
}

// patience bounds each step of setting a worker up.
const patience = 20 * time.Second

func (w *worker) eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, err := ok()
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never in %v: %s", patience, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// attach plugs a container in.
func (w *worker) attach(ctx context.Context, i instance, c *lab.Namespace) (wire.LocalEndpoint, error) {
	var e wire.LocalEndpoint
	err := w.ask(ctx, http.MethodPut, wire.PathLocalEndpoints, wire.LocalAttach{
		InstanceKey: i.key, Generation: first, JobName: jobName, NetNS: c.Path(), InstanceIP: i.v4, InstanceIPv6: i.v6,
		Addresses: i.service.addresses(),
	}, &e)
	return e, err
}

// heardOf waits until the cluster knows n endpoints of the worker.
func (w *worker) heardOf(ctx context.Context, n int) error {
	return w.eventually(ctx, "the cluster hears of all endpoints", func() (bool, error) {
		found, err := w.last(wire.TopicNetEndpoints, &w.told)
		return found && len(w.told.Endpoints) == n, err
	})
}
