// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

const clusterID = "c1c1c1c1c1c1c1c1c1c1c1c1"

// scriptedRoot answers as root does, over real HTTPS, with what a test says.
type scriptedRoot struct {
	ca   *identity.CA
	addr string

	mu        sync.Mutex
	epoch     uint64
	rev       uint64
	instances map[wire.InstanceKey]wire.ClusterInstance
	removed   map[wire.InstanceKey]wire.Tombstone
	subnets   []wire.SubnetBlock
	reports   map[wire.InstanceKey]wire.InstanceReport
	aggregate wire.Aggregate
	free      int
	wanted    int // the last report's
	fulls     int
	joins     int
	renewals  int
	certTTL   time.Duration // of what it signs
	asked     []bool        // of each answered question: whether it was answered in full
	away      bool
	forgotten bool                     // answers as if it did not know the cluster, until that joins
	format    int                      // of what it writes, if not this build's
	onReport  func(wire.ClusterReport) // before it is answered
	secrets   map[string]string        // by name
	orders    []wire.WorkerOrder
	show      uint64           // the number of the last question for the workers
	told      *wire.WorkerList // the last answer
}

func newScriptedRoot(t *testing.T) *scriptedRoot {
	t.Helper()
	pool, err := store.Open(t.Context(), pgtest.New(t), nil, quietLog())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ca, err := identity.LoadCA(t.Context(), pool)
	require.NoError(t, err)
	conf, err := ca.ServerTLS()
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &scriptedRoot{ca: ca, addr: ln.Addr().String(), epoch: 100, rev: 1, subnets: subnets(16), certTTL: time.Hour,
		instances: map[wire.InstanceKey]wire.ClusterInstance{}, removed: map[wire.InstanceKey]wire.Tombstone{},
		reports: map[wire.InstanceKey]wire.InstanceReport{}}
	e := httpapi.New(quietLog())
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r.mu.Lock()
			away := r.away
			r.mu.Unlock()
			if away {
				return httpapi.NewProblem(http.StatusServiceUnavailable, "away", "%v", errGone)
			}
			return next(c)
		}
	})
	e.POST(wire.PathClusterJoin, r.join)
	e.POST(httpapi.Route(wire.PathClusterRenew), r.renew)
	e.GET(httpapi.Route(wire.PathClusterDesired), r.desired)
	e.POST(httpapi.Route(wire.PathClusterReport), r.report)
	e.POST(httpapi.Route(wire.PathClusterSecrets), r.secret)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpapi.ServeListener(ctx, ln, conf, false, e, quietLog()) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *scriptedRoot) token(t *testing.T) string {
	token, err := r.ca.IssueToken(t.Context(), pki.RoleCluster, time.Hour, 5)
	require.NoError(t, err)
	return token.String()
}

func (r *scriptedRoot) join(c echo.Context) error {
	token := strings.TrimPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
	if err := r.ca.RedeemToken(c.Request().Context(), token, pki.RoleCluster); err != nil {
		return httpapi.NewProblem(http.StatusUnauthorized, "token_refused", "%v", err)
	}
	var req wire.ClusterJoinRequest
	if err := httpapi.DecodeLoose(c, &req); err != nil {
		return err
	}
	r.mu.Lock()
	r.forgotten = false
	r.mu.Unlock()
	return r.certify(c, req.CSR, &r.joins)
}

func (r *scriptedRoot) renew(c echo.Context) error {
	if err := r.known(c); err != nil {
		return err
	}
	var req wire.ClusterRenewRequest
	if err := httpapi.DecodeLoose(c, &req); err != nil {
		return err
	}
	return r.certify(c, req.CSR, &r.renewals)
}

func (r *scriptedRoot) certify(c echo.Context, csr string, count *int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cert, err := r.ca.SignClient([]byte(csr), clusterID, "", r.certTTL)
	if err != nil {
		return err
	}
	*count++
	return c.JSON(http.StatusOK, wire.JoinResponse{ID: clusterID, Certificate: string(cert), CA: string(r.ca.CertPEM())})
}

// known refuses whoever is not the cluster.
func (r *scriptedRoot) known(c echo.Context) error {
	if id, ok := identity.PeerID(c.Request()); !ok || id != clusterID || c.Param("id") != clusterID {
		return httpapi.NewProblem(http.StatusForbidden, "forbidden", "not the cluster")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgotten {
		return httpapi.NewProblem(http.StatusNotFound, "unknown_cluster", "join again")
	}
	return nil
}

func (r *scriptedRoot) desired(c echo.Context) error {
	if err := r.known(c); err != nil {
		return err
	}
	var epoch, since uint64
	if err := echo.QueryParamsBinder(c).Uint64("epoch", &epoch).Uint64("since", &since).BindError(); err != nil {
		return err
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		r.mu.Lock()
		same := epoch == r.epoch && since == r.rev && !r.away
		r.mu.Unlock()
		if !same || c.Request().Context().Err() != nil {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := wire.ClusterDesired{Header: wire.NewHeader(wire.Stamp{Epoch: r.epoch, Revision: r.rev}), Full: epoch != r.epoch || since == 0,
		Ranges: semantic.DefaultRanges(), Subnets: r.subnets, Changed: []wire.ClusterInstance{}, Removed: []wire.Tombstone{}}
	for _, i := range r.instances {
		d.Changed = append(d.Changed, i)
	}
	d.Orders, d.ShowWorkers = r.orders, r.show
	for _, t := range r.removed {
		d.Removed = append(d.Removed, t)
	}
	if r.format != 0 {
		d.Format = r.format
	}
	r.asked = append(r.asked, d.Full)
	return c.JSON(http.StatusOK, d)
}

func (r *scriptedRoot) report(c echo.Context) error {
	if err := r.known(c); err != nil {
		return err
	}
	var m wire.ClusterReport
	if err := httpapi.DecodeLoose(c, &m); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onReport != nil {
		r.onReport(m)
	}
	r.aggregate, r.free, r.wanted = m.Aggregate, m.FreeSubnets, m.WantedSubnets
	if m.Full {
		r.fulls++
	}
	if m.Workers != nil {
		r.told = m.Workers
	}
	for _, i := range m.Instances {
		r.reports[i.InstanceKey] = i
		if t, ok := r.removed[i.InstanceKey]; ok && i.State == wire.StateUndeployed && i.Generation.Placement >= t.Generation.Placement {
			delete(r.removed, i.InstanceKey)
		}
	}
	return c.JSON(http.StatusOK, wire.ClusterReportAck{Header: wire.NewHeader(wire.Stamp{Epoch: r.epoch, Revision: r.rev})})
}

// change changes what root wants, in one revision.
func (r *scriptedRoot) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.rev++
}

func (r *scriptedRoot) want(placement uint32, numbers ...int) {
	r.change(func() {
		for _, n := range numbers {
			r.instances[key(n)] = wire.ClusterInstance{InstanceKey: key(n), Placement: placement, Spec: spec(n)}
		}
	})
}

func (r *scriptedRoot) remove(n int) {
	r.change(func() {
		i := r.instances[key(n)]
		delete(r.instances, key(n))
		r.removed[key(n)] = wire.Tombstone{InstanceKey: key(n), Generation: wire.Generation{Placement: i.Placement, Move: ^uint32(0)}}
	})
}

// state returns what root was last told of an instance.
func (r *scriptedRoot) state(n int) wire.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reports[key(n)].State
}

func (r *scriptedRoot) sees(numbers []int, state wire.State) func() bool {
	return func() bool {
		return !slices.ContainsFunc(numbers, func(n int) bool { return r.state(n) != state })
	}
}
