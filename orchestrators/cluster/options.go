// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/joining"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// Options configure a cluster orchestrator.
type Options struct {
	// Listen is the address of the REST API, MQTTListen that of the broker.
	Listen, MQTTListen string
	// Brokers are HOST:PORT of an external MQTT broker, tried in order, which takes the place of the built-in one; MQTTListen is then not
	// used. AdvertiseBrokers are where workers reach it, Brokers if empty; :PORT is at the host that a worker joined at.
	Brokers, AdvertiseBrokers []string
	// HelloListen is the UDP address at which workers' hellos are answered, so that those behind a NAT learn where others see them. It
	// cannot be the tunnel's port: that is taken where the cluster's machine is a worker too.
	HelloListen string
	// OtherHelloListen is a second one, by which a worker finds out whether its NAT shows it to everybody at the same port; empty for none.
	OtherHelloListen string
	// Database is the URL of the cluster's Postgres.
	Database string
	// RootURLs are https://HOST:PORT of the processes of the root orchestrator, any of which is asked.
	RootURLs []string
	// JoinTokenFile holds the token to join root with. It is read only until the cluster has joined.
	JoinTokenFile string
	// AdvertiseURL is https://HOST:PORT at which workers reach this very process, for streams; empty for where they have joined.
	AdvertiseURL string
	// Name is what people call the cluster; Location is "lat,lon[,radius]" or free text.
	Name, Location string
	// HideWorkers keeps what single workers are and do from root.
	HideWorkers bool
	// AllowPlain lets workers on other machines join without TLS.
	AllowPlain bool
	// Placement is how workers that can take an instance are ordered: one of scheduler.Strategies; spread if empty.
	Placement string
	// LostAfter is how long a worker has to be gone before its instances are given to others; 60 s if zero.
	LostAfter time.Duration
	// TunnelPort is the UDP port of the overlay; 50103 if zero.
	TunnelPort uint16
	Log        *slog.Logger

	// Listener and MQTTListener, if not nil, take the place of the addresses; tests use them.
	Listener, MQTTListener net.Listener
	// weighEvery, if not zero, takes the place of the constant; tests use it.
	weighEvery time.Duration
}

// Bounds of LostAfter: below the first, a worker that merely restarts would lose its instances.
const (
	minLostAfter = 10 * time.Second
	maxLostAfter = 24 * time.Hour
)

func (o *Options) check() error {
	o.LostAfter = cmp.Or(o.LostAfter, ledger.DefaultLostAfter)
	o.weighEvery = cmp.Or(o.weighEvery, weighEvery)
	o.TunnelPort = cmp.Or(o.TunnelPort, semantic.TunnelPort)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.checkBrokers(); err != nil {
		return err
	}
	if len(o.RootURLs) == 0 {
		return errors.New("--root-url is missing: give https://HOST:PORT of the root orchestrator")
	}
	for _, text := range o.RootURLs {
		root, err := url.Parse(text)
		switch {
		case err != nil || (root.Scheme != "https" && root.Scheme != "http") || root.Host == "":
			return fmt.Errorf("--root-url %q is not https://HOST:PORT", text)
		case root.Scheme == "http":
			return errors.New("--root-url is plain http: a cluster proves who it is by its certificate, which needs https")
		}
	}
	if err := geo.Check(o.Location); err != nil {
		return fmt.Errorf("--location %q is %w", o.Location, err)
	}
	switch {
	case !joining.ClusterName(o.Name):
		return fmt.Errorf("--name %q: a cluster's name %s", o.Name, joining.ClusterNames)
	case o.LostAfter < minLostAfter || o.LostAfter > maxLostAfter:
		return fmt.Errorf("--lost-after %s is not within %s and %s", o.LostAfter, minLostAfter, maxLostAfter)
	case o.Placement != "" && !slices.Contains(scheduler.Strategies(), o.Placement):
		return fmt.Errorf("--placement %q is none of %s", o.Placement, strings.Join(scheduler.Strategies(), ", "))
	case o.Database == "":
		return errors.New("--database is missing: give the URL of a Postgres database")
	}
	return nil
}

// where is the cluster's place, if its location is one.
func (o *Options) where() (p wire.Point) {
	if at, radius, ok := geo.Parse(o.Location); ok {
		p.Location, p.RadiusKM = &at, radius
	}
	return p
}

func (o *Options) checkBrokers() error {
	for _, b := range o.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return fmt.Errorf("--broker %q is not HOST:PORT", b)
		}
	}
	if len(o.Brokers) == 0 && len(o.AdvertiseBrokers) > 0 {
		return errors.New("--advertise-broker is for an external broker: name it with --broker too")
	}
	for _, b := range o.AdvertiseBrokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			return fmt.Errorf("--advertise-broker %q is neither HOST:PORT nor :PORT", b)
		}
	}
	if len(o.AdvertiseBrokers) == 0 {
		o.AdvertiseBrokers = o.Brokers
	}
	return nil
}
