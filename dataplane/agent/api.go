// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/localapi"
	"github.com/oakestra/oakestra-ebpf/dataplane/upcall"
)

// backend is the agent as the local API sees it.
type backend struct{ a *Agent }

func (b backend) SetIdentity(ctx context.Context, id wire.LocalIdentity) error {
	return b.a.setIdentity(ctx, id)
}

func (b backend) Attach(ctx context.Context, want wire.LocalAttach) (wire.LocalEndpoint, error) {
	done, err := b.a.exposed.Claim(want.InstanceKey, want.Ports)
	if err != nil {
		return wire.LocalEndpoint{}, err
	}
	e, err := b.a.endpoints.Attach(ctx, want)
	return e, errors.Join(err, done())
}

func (b backend) Detach(ctx context.Context, key wire.InstanceKey, g wire.Generation) error {
	return b.a.endpoints.Detach(ctx, key, g)
}

func (b backend) Endpoints() []wire.LocalEndpoint { return b.a.endpoints.List() }

func (b backend) Names() []wire.LocalName { return b.a.names.Names() }

func (b backend) Status() wire.LocalStatus { return b.a.status() }

// status says what is missing, the first thing first. A cluster that is away is not missing: what it said is stored.
func (a *Agent) status() wire.LocalStatus {
	s := wire.LocalStatus{Version: a.cfg.Version, UsedPorts: a.usedPorts()}
	a.known.Lock()
	if a.identity != nil {
		s.WorkerID = a.identity.WorkerID
	}
	node := a.node
	a.known.Unlock()
	session := a.session.Load()
	s.Connected = session != nil && session.Connected()
	o := a.overlay.Load()
	switch {
	case s.WorkerID == "":
		s.Reason = "no identity yet: NodeEngine hands it over once the worker has joined"
	case node == nil && !s.Connected:
		s.Reason = "the cluster has never sent this worker's subnet, and its MQTT broker cannot be reached"
	case node == nil:
		s.Reason = "the cluster has not sent this worker's subnet yet"
	case a.uplink.Load() == nil:
		s.Reason = "there is no uplink: no device with an address leads to other workers"
	case o == nil:
		s.Reason = "the overlay is not started"
		if p := a.problem.Load(); p != nil {
			s.Reason += ": " + *p
		}
	case !o.reading.Load():
		s.Reason = "first packets are not read: restart NetManager"
	default:
		s.Ready = true
	}
	return s
}

// measure prepares the metrics; what they tell of the overlay and the session follows both as they come and go.
func (a *Agent) measure() (err error) {
	a.metrics, err = localapi.NewMetrics(localapi.Sources{
		Maps: a.dp.Maps(), Features: a.dp.Features(),
		Names: a.names.Collectors(),
		Connected: func() bool {
			s := a.session.Load()
			return s != nil && s.Connected()
		},
		Upcalls: func() (upcall.Stats, bool) {
			o := a.overlay.Load()
			if o == nil {
				return upcall.Stats{}, false
			}
			return o.queue.Stats(), true
		},
	})
	return err
}

// listen opens the local API and returns what serves it.
func (a *Agent) listen() ([]func(context.Context) error, error) {
	h := localapi.NewHandler(backend{a}, a.metrics.Handler(), a.log)

	l, err := localapi.ListenUnix(a.cfg.Socket)
	if err != nil {
		return nil, err
	}
	serve := []func(context.Context) error{func(ctx context.Context) error { return localapi.ServeUnix(ctx, l, h, a.log) }}
	if a.cfg.Port == 0 {
		return serve, nil
	}
	tcp, err := localapi.ListenTCP(a.cfg.Port)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	file := filepath.Join(a.cfg.RunDir, "netmanager-"+a.cfg.Name+"-"+strconv.Itoa(int(a.cfg.Port))+".token")
	token, err := localapi.NewToken(file)
	if err != nil {
		_ = l.Close()
		_ = tcp.Close()
		return nil, err
	}
	a.log.Info("local API also on TCP", "address", tcp.Addr(), "token_file", file)
	return append(serve, func(ctx context.Context) error { return localapi.ServeTCP(ctx, tcp, h, token, a.log) }), nil
}
