// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

const soon = 10 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, 5*time.Millisecond, what)
}

func quietLog() *slog.Logger {
	if os.Getenv("OAK_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// bed is a cluster orchestrator between a scripted root and scripted workers.
type bed struct {
	t        *testing.T
	root     *scriptedRoot
	database string
	pool     *pgxpool.Pool
	ca       *identity.CA // the cluster's
	api      string
	mqtt     string
	stop     context.CancelFunc
	done     chan error
	lost     time.Duration
	// brokers are those of an external broker, if it is to be used.
	brokers []string
	// tokenFile holds the token that the orchestrator joins root with.
	tokenFile string
	// weigh is how often loads and places are told; never, unless a test is about it.
	weigh time.Duration
}

func newBed(t *testing.T) *bed {
	t.Helper()
	return newBedOn(t, pgtest.New(t))
}

func newBedOn(t *testing.T, database string) *bed {
	t.Helper()
	return newBedWeighing(t, database, time.Hour)
}

func newBedWeighing(t *testing.T, database string, weigh time.Duration) *bed {
	t.Helper()
	b := makeBed(t, database)
	b.weigh = weigh
	b.start()
	t.Cleanup(func() { b.halt() })
	return b
}

// makeBed makes a bed that does not run yet.
func makeBed(t *testing.T, database string) *bed {
	t.Helper()
	b := &bed{t: t, root: newScriptedRoot(t), database: database, weigh: time.Hour}
	var err error
	b.pool, err = store.Open(t.Context(), b.database, records.Migrations(), quietLog())
	require.NoError(t, err)
	t.Cleanup(b.pool.Close)
	b.ca, err = identity.LoadCA(t.Context(), b.pool)
	require.NoError(t, err)
	return b
}

// start starts the orchestrator, on the same ports as before if there was one.
func (b *bed) start() {
	b.t.Helper()
	tokenFile := filepath.Join(b.t.TempDir(), "token")
	b.tokenFile = tokenFile
	require.NoError(b.t, os.WriteFile(tokenFile, []byte(b.root.token(b.t)), 0o600))
	api := relisten(b.t, b.api)
	b.api = api.Addr().String()
	var mqtt net.Listener
	if len(b.brokers) > 0 {
		b.mqtt = b.brokers[0]
	} else {
		mqtt = relisten(b.t, b.mqtt)
		b.mqtt = mqtt.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop, b.done = cancel, make(chan error, 1)
	go func() {
		b.done <- Run(ctx, Options{Database: b.database, Brokers: b.brokers, RootURLs: []string{"https://" + b.root.addr}, JoinTokenFile: tokenFile, Name: "c1",
			Location: "48.1,11.5", Listener: api, MQTTListener: mqtt, HelloListen: "127.0.0.1:0", OtherHelloListen: "127.0.0.1:0", Log: quietLog(), LostAfter: b.lost, weighEvery: b.weigh})
	}()
	eventually(b.t, "orchestrator answers", func() bool {
		resp, err := http.Get("http://" + b.api + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
}

func relisten(t *testing.T, addr string) net.Listener {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var ln net.Listener
	eventually(t, "port free", func() (ok bool) {
		var err error
		ln, err = net.Listen("tcp", addr)
		return err == nil
	})
	return ln
}

func (b *bed) halt() {
	b.stop()
	select {
	case err := <-b.done:
		require.NoError(b.t, err)
		b.done <- nil
	case <-time.After(soon):
		b.t.Fatal("the orchestrator does not stop")
	}
}

// ready waits until root has told ranges and subnets.
func (b *bed) ready() {
	b.t.Helper()
	eventually(b.t, "ready", func() bool {
		resp, err := http.Get("http://" + b.api + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// get reads JSON from the cluster's API over loopback.
func (b *bed) get(path string, out any) int {
	b.t.Helper()
	resp, err := http.Get("http://" + b.api + path)
	require.NoError(b.t, err)
	defer func() { _ = resp.Body.Close() }()
	require.NoError(b.t, json.NewDecoder(resp.Body).Decode(out))
	return resp.StatusCode
}

func (b *bed) workerToken() string {
	b.t.Helper()
	token, err := b.ca.IssueToken(b.t.Context(), pki.RoleWorker, time.Hour, 1)
	require.NoError(b.t, err)
	return token.String()
}

// postJoin asks the cluster to take a worker in.
func (b *bed) postJoin(token, name string, key []byte, routes ...string) (resp wire.WorkerJoinResponse, status int, body string) {
	b.t.Helper()
	csr, err := pki.NewCSR(key)
	require.NoError(b.t, err)
	netKey, err := pki.NewKey()
	require.NoError(b.t, err)
	netCSR, err := pki.NewCSR(netKey)
	require.NoError(b.t, err)
	payload, err := json.Marshal(wire.WorkerJoinRequest{Format: wire.Format, CSR: string(csr), NetCSR: string(netCSR), Name: name, Routes: routes})
	require.NoError(b.t, err)
	req, err := http.NewRequest(http.MethodPost, "https://"+b.api+wire.PathWorkerJoin, bytes.NewReader(payload))
	require.NoError(b.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pki.PinnedTLS(b.ca.Hash())}, Timeout: soon}
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	require.NoError(b.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(b.t, err)
	if answer.StatusCode == http.StatusOK {
		require.NoError(b.t, json.Unmarshal(text, &resp))
	}
	return resp, answer.StatusCode, string(text)
}

// inspect asks the cluster whether a token would be accepted.
func (b *bed) inspect(token string) int {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://"+b.api+wire.PathWorkerJoin, http.NoBody)
	require.NoError(b.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pki.PinnedTLS(b.ca.Hash())}, Timeout: soon}
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	require.NoError(b.t, err)
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode
}

func subnets(n int) []wire.SubnetBlock {
	block := wire.SubnetBlock{ID: 1}
	r := semantic.DefaultRanges()
	for i := range n {
		v4, _ := semantic.Subnet(r.WorkersV4, semantic.WorkerBitsV4, uint32(i))
		v6, _ := semantic.Subnet(r.WorkersV6, semantic.WorkerBitsV6, uint32(i))
		block.V4, block.V6 = append(block.V4, v4), append(block.V6, v6)
	}
	return []wire.SubnetBlock{block}
}

var serviceIP = netip.MustParseAddr("10.30.0.1")

func key(n int) wire.InstanceKey {
	return wire.InstanceKey{ServiceID: "5e5e5e5e5e5e5e5e5e5e5e5e", Number: n}
}

func spec(n int) wire.InstanceSpec {
	return wire.InstanceSpec{JobName: "a.b.c.d", Runtime: "container", Image: "registry/image", VCPUs: 1, MemoryMB: 64,
		InstanceIP: netip.AddrFrom4([4]byte{10, 30, 1, byte(n)}),
		Addresses:  []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: serviceIP}}}
}

var errGone = errors.New("scripted root is away")

func clientTLS(t *testing.T, cert, key, ca string) *tls.Config {
	t.Helper()
	conf, err := pki.ClientTLS([]byte(cert), []byte(key), []byte(ca))
	require.NoError(t, err)
	return conf
}
