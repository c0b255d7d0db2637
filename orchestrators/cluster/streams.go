// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/rendezvous"
)

const (
	// maxStreams bounds the streams that go through this process at a time.
	maxStreams = 512
	// rememberStreams is how long a request is known as served: as long as root may tell it.
	rememberStreams = time.Minute
)

// streams connects root, where a user waits, with workers. All of it is in memory: a stream ends with this process.
type streams struct {
	c     *Cluster
	place *rendezvous.Place

	mu   sync.Mutex
	seen map[string]time.Time // requests that are or were served
	open int
}

func newStreams(c *Cluster) *streams {
	return &streams{c: c, place: rendezvous.New(), seen: map[string]time.Time{}}
}

// take serves requests that were not served yet. Each ends by itself, with its two ends.
func (s *streams) take(ctx context.Context, list []wire.StreamRequest) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.seen {
		if now.Sub(at) > rememberStreams {
			delete(s.seen, id)
		}
	}
	for _, r := range list {
		if _, known := s.seen[r.ID]; known || !pki.ValidID(r.ID) || r.Format > wire.Format || len(s.seen) >= 16*maxStreams {
			continue
		}
		s.seen[r.ID] = now
		if s.open >= 2*maxStreams {
			continue // whoever waits is told nothing but that nobody came
		}
		s.open++
		busy := s.open > maxStreams
		// A stream goes on when the questions to root fail.
		go s.serve(context.WithoutCancel(ctx), r, busy)
	}
}

func (s *streams) serve(ctx context.Context, r wire.StreamRequest, busy bool) {
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	log := s.c.log.With("stream", r.ID, "instance", r.InstanceKey.String())
	dialling, cancel := context.WithTimeout(ctx, ttl(r))
	defer cancel()
	refused := wire.StreamEndMessage{}
	var m *rendezvous.Meeting
	if busy {
		refused = wire.StreamEndMessage{Code: wire.StreamBusy, Error: fmt.Sprintf("%d streams go through this cluster already", maxStreams)}
	} else if m, refused = s.summon(r); m != nil {
		defer m.Leave()
	}
	upper, err := s.dialRoot(dialling, r)
	if err != nil {
		log.Info("stream not opened: whoever asked is gone, or not to be reached", "error", err)
		return
	}
	if m == nil {
		log.Info("stream refused", "reason", refused.Error)
		refuse(upper, refused)
		return
	}
	lower, err := m.Wait(dialling, ttl(r))
	if err != nil {
		refuse(upper, wire.StreamEndMessage{Code: wire.StreamLost, Error: fmt.Sprintf("the worker of instance %s has not connected: %v", r.InstanceKey, err)})
		return
	}
	log.Debug("stream open")
	log.Debug("stream ended", "reason", stream.Splice(ctx, upper, lower, "the worker"))
}

func refuse(upper *stream.Conn, m wire.StreamEndMessage) {
	stream.NewEndpoint(upper, 0).Finish(m)
}

// ttl is how long it makes sense to try.
func ttl(r wire.StreamRequest) time.Duration {
	return min(max(time.Duration(r.TTLMillis)*time.Millisecond, time.Second), wire.StreamConnectTimeout)
}

// summon asks the worker that has the instance to dial up; or says why there is none to be asked.
func (s *streams) summon(r wire.StreamRequest) (*rendezvous.Meeting, wire.StreamEndMessage) {
	c := s.c
	c.mu.Lock()
	x, ok := c.ledger.Current(r.InstanceKey)
	w, _ := c.ledger.Worker(x.Worker)
	status, reason := "", ""
	if ok {
		status, reason = c.ledger.Status(x.Worker, time.Now())
	}
	c.mu.Unlock()
	switch {
	case !ok:
		return nil, wire.StreamEndMessage{Code: wire.StreamNotRunning, Error: fmt.Sprintf("instance %s is on no worker yet", r.InstanceKey)}
	case !w.Engine.Present:
		return nil, wire.StreamEndMessage{Code: wire.StreamLost, Error: fmt.Sprintf("the worker of instance %s is %s: %s", r.InstanceKey, status, reason)}
	}
	m := s.place.Expect(x.Worker)
	order := wire.StreamRequest{Format: wire.Format, ID: m.ID, Secret: m.Secret, InstanceKey: r.InstanceKey, Generation: x.Generation,
		URL: c.opts.AdvertiseURL, TTLMillis: ttl(r).Milliseconds()}
	c.publish(x.Worker, wire.TopicStreams, order, false)
	return m, wire.StreamEndMessage{}
}

// dialRoot connects with the process of root that holds the user: the one that the request names, or else whichever knows of it.
func (s *streams) dialRoot(ctx context.Context, r wire.StreamRequest) (*stream.Conn, error) {
	c := s.c
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	conf, err := pki.ClientTLS([]byte(link.CertPEM), []byte(link.KeyPEM), []byte(link.CAPEM))
	if err != nil {
		return nil, fmt.Errorf("use identity from root: %w", err)
	}
	if r.URL != "" {
		return stream.DialUp(ctx, r.URL, conf, r)
	}
	var errs []error
	for _, base := range c.opts.RootURLs {
		attempt, cancel := context.WithTimeout(ctx, ttl(r)/time.Duration(len(c.opts.RootURLs)))
		conn, err := stream.DialUp(attempt, base, conf, r)
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
