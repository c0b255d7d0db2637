// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	clog "github.com/containerd/log"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/agent"
	"github.com/oakestra/oakestra-ebpf/nodeengine/join"
	"github.com/oakestra/oakestra-ebpf/nodeengine/localapi"
	"github.com/oakestra/oakestra-ebpf/nodeengine/netmanager"
	"github.com/oakestra/oakestra-ebpf/nodeengine/netspace"
	"github.com/oakestra/oakestra-ebpf/nodeengine/resources"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime/containerd"
	"github.com/oakestra/oakestra-ebpf/nodeengine/secrets"
	"github.com/oakestra/oakestra-ebpf/nodeengine/streams"
	"github.com/oakestra/oakestra-ebpf/nodeengine/uplink"
)

// endTimeout bounds how long the end of the program waits for what is under way: the next start continues it.
const endTimeout = 3 * time.Second

// serve runs the worker until ctx ends. Nothing above the worker is needed but for its very first start.
func (o *options) serve(ctx context.Context) error {
	unlock, err := lock(filepath.Join(o.stateDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	_ = clog.SetLevel("error") // containerd's client logs each attempt of a pull, which is told better elsewhere
	id, err := o.identity(ctx)
	if err != nil {
		return err
	}
	epoch, err := statefile.RaiseCounter(filepath.Join(o.stateDir, "epoch"))
	if err != nil {
		return err
	}
	w, err := o.assemble(ctx, id, epoch)
	if err != nil {
		return err
	}
	o.log.Info("NodeEngine runs", "version", cmdline.Version(version), "worker", id.WorkerID, "name", o.name, "cluster", id.Cluster, "epoch", epoch)
	err = w.run(ctx)
	o.log.Info("NodeEngine ends; what it started runs on")
	return err
}

// identity returns the stored identity, or joins.
func (o *options) identity(ctx context.Context) (*join.Identity, error) {
	id, err := join.Load(o.stateDir)
	if err == nil && !o.clusterByDefault && id.Cluster != net.JoinHostPort(o.cluster, strconv.Itoa(o.port)) {
		o.log.Warn("this worker has joined another cluster than the flags name, and stays with it; to change that, stop its instances and empty --state-dir",
			"joined", id.Cluster, "flags", o.cluster)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if _, err := os.Stat(o.tokenFile); err != nil {
		return nil, cmdline.Usagef("this worker has not joined a cluster, and there is no token to join with in %s: type here what `cluster-orchestrator token create` prints on the cluster's machine: it writes the token and names the cluster", o.tokenFile)
	}
	return join.Join(ctx, join.Options{Host: o.cluster, Port: o.port, MQTTPort: o.mqttPort, TokenFile: o.tokenFile, StateDir: o.stateDir, Name: o.name, Log: o.log})
}

// keeper keeps an identity valid at the cluster that issued it, whatever the flags say.
func (o *options) keeper(id *join.Identity) (*join.Keeper, error) {
	host, port, err := net.SplitHostPort(id.Cluster)
	if err != nil {
		return nil, fmt.Errorf("load identity: address of the cluster: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("load identity: port of the cluster: %w", err)
	}
	return join.NewKeeper(join.Options{Host: host, Port: number, MQTTPort: o.mqttPort, TokenFile: o.tokenFile, StateDir: o.stateDir, Name: o.name, Log: o.log}, id)
}

// netManagerArgs are what a NetManager that is started here is told besides its socket.
func (o *options) netManagerArgs() []string {
	args := []string{"--name", o.name}
	if o.netcfg != "" {
		args = append(args, "--config", o.netcfg)
	}
	return args
}

// worker is the parts of a running NodeEngine.
type worker struct {
	o         *options
	id        *join.Identity
	keeper    *join.Keeper
	agent     *agent.Agent
	uplink    *uplink.Uplink
	watch     *netmanager.Watch
	container *containerd.Runtime
	machine   *resources.Machine
	secrets   *secrets.Source
	streams   *streams.Server
}

func (o *options) assemble(ctx context.Context, id *join.Identity, epoch uint64) (*worker, error) {
	w := &worker{o: o, id: id}
	var err error
	if w.keeper, err = o.keeper(id); err != nil {
		return nil, err
	}
	if w.machine, err = resources.Open(o.stateDir); err != nil {
		return nil, err
	}
	spaces, err := netspace.Open(filepath.Join(o.runDir, "netns"))
	if err != nil {
		return nil, err
	}
	w.secrets, err = secrets.Open(secrets.Options{Cluster: id.Cluster, WorkerID: id.WorkerID, TLS: w.keeper.Credentials().TLS(), StateDir: o.stateDir,
		PrivateKey: []byte(id.Key), Log: o.log})
	if err != nil {
		return nil, err
	}
	w.container, err = containerd.Connect(ctx, containerd.Options{Socket: o.containerd, Namespace: o.namespace, StateDir: o.stateDir, RunDir: o.runDir,
		WorkerID: id.WorkerID, InsecureRegistries: o.insecureRegistries, Secrets: w.secrets, AllowPrivileged: o.privileged, StopGrace: o.stopGrace, Log: o.log})
	if err != nil {
		return nil, err
	}
	network := netmanager.NewAt(o.netManagerAt)
	w.watch = netmanager.NewWatch(network, id.Local(), o.log)
	w.agent, err = agent.New(agent.Options{Runtimes: map[string]runtime.Runtime{containerd.Name: w.container}, Network: network, Namespaces: spaces,
		StateDir: o.stateDir, Log: o.log, CutOff: agent.CutOff{Stop: o.whenCutOff == stopAll, Connected: func() bool { return w.uplink.Connected() }}})
	if err != nil {
		return nil, err
	}
	w.streams = streams.New(streams.Options{Cluster: "https://" + id.Cluster, TLS: w.keeper.Credentials().TLS(), Where: w.agent.Where, Log: o.log})
	w.uplink = uplink.New(uplink.Options{WorkerID: id.WorkerID, Brokers: id.Brokers, TLS: w.keeper.Credentials().TLS(), StateDir: o.stateDir, Epoch: epoch,
		Agent: w.agent, Information: w.information, Stream: w.streams.Take, Log: o.log})
	return w, nil
}

// run works until ctx ends, or until one part cannot go on, which ends all.
func (w *worker) run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if err := w.uplink.Dial(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	part := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				end(err)
			}
		})
	}
	if w.o.netManager == "" {
		program, err := netmanager.FindProgram()
		if err != nil {
			return err
		}
		own := netmanager.Supervisor{Program: program, Args: w.o.netManagerArgs(), Socket: w.o.netManagerAt.Socket, Output: os.Stderr, Log: w.o.log}
		part(func() error { own.Run(ctx); return nil })
	}
	part(func() error { return w.agent.Run(ctx) })
	part(func() error { return localapi.Serve(ctx, localapi.Socket(w.o.runDir), w.status) })
	part(func() error { w.uplink.Run(ctx); return nil })
	part(func() error {
		w.keeper.Run(ctx, func(id join.Identity) { w.watch.SetIdentity(id.Local()) })
		return nil
	})
	part(func() error { w.container.BoundLogs(ctx); return nil })
	part(func() error { w.secrets.Sweep(ctx, w.agent.Specs); return nil })
	part(func() error {
		if err := w.container.EndCommands(ctx); err != nil {
			w.o.log.Warn("commands that users ran before the restart are not all ended", "error", err)
		}
		w.streams.Run(ctx)
		return nil
	})
	part(func() error {
		w.watch.Run(ctx, func(ready bool) {
			w.uplink.Hurry()
			if ready {
				w.agent.NetworkBack(ctx)
			}
		})
		return nil
	})
	<-ctx.Done()
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-ended:
		_ = w.container.Close()
	case <-time.After(endTimeout):
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (w *worker) information(ctx context.Context) (wire.Information, error) {
	r, err := w.machine.Read(ctx)
	if err != nil {
		return wire.Information{}, err
	}
	ready, _ := w.watch.Ready()
	if kbit := w.o.uplinkKbit; kbit != 0 {
		r.Capacity.BandwidthIn, r.Capacity.BandwidthOut = kbit, kbit
	}
	return wire.Information{Addons: w.o.addons, Privileged: &w.o.privileged, Name: w.o.name, Architecture: resources.Architecture(), Runtimes: []string{containerd.Name}, Capacity: r.Capacity,
		CPUPercent: r.CPUPercent, MemoryPercent: r.MemoryPercent, DiskPercent: r.DiskPercent, Overlay: ready, UsedPorts: w.watch.UsedPorts(), Location: w.o.at,
		Version: cmdline.Version(version)}, nil
}

func (w *worker) status() localapi.Status {
	ready, reason := w.watch.Ready()
	return localapi.Status{Version: cmdline.Version(version), WorkerID: w.id.WorkerID, Name: w.o.name, Cluster: w.id.Cluster, Connected: w.uplink.Connected(),
		Overlay: ready, OverlayReason: reason, Applied: w.agent.Applied(), Refused: w.uplink.Refused(), Instances: w.agent.Instances()}
}

// lockWait is how long a NodeEngine waits for the one that it replaces to end.
const lockWait = 2 * time.Second

// lock keeps a second NodeEngine from the same state folder. The kernel gives it back however the program ends.
func lock(path string) (unlock func(), err error) {
	f, err := statefile.Lock(path, lockWait)
	if err != nil {
		return nil, fmt.Errorf("%w: another NodeEngine uses this --state-dir: stop it first, or give this one a state folder of its own", err)
	}
	return func() { _ = f.Close() }, nil
}
