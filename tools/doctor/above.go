// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// aboveTimeout bounds one question to the tier above, maxAnswer what is read of its answer, in bytes.
const (
	aboveTimeout = 5 * time.Second
	maxAnswer    = 64 << 10
)

// identity is what a worker's NodeEngine has stored once it has joined.
type identity struct {
	WorkerID       string   `json:"worker_id"`
	Cluster        string   `json:"cluster"`
	CA             string   `json:"ca"`
	Certificate    string   `json:"certificate"`
	Key            string   `json:"key"`
	NetCertificate string   `json:"net_certificate"`
	NetKey         string   `json:"net_key"`
	Brokers        []string `json:"brokers"`
}

// above is the tier above a machine, as one conversation with it has shown. Several checks judge it; it is asked once.
type above struct {
	m    *machine
	once sync.Once

	// name is what the tier is called, urls are where it may be.
	name string
	urls []string
	// identity is a worker's; nil before it has joined. idErr says that there is one that cannot be used.
	identity *identity
	idErr    error
	token    *pki.Token
	tokenErr error

	answers []answer
}

// answer is what became of the question at one address.
type answer struct {
	url string
	err error
	// verify says that whoever answers is not who the identity or the token names; nil also where nothing names anybody.
	verify error
	status int
	body   string
	// offset is how far the other clock is ahead of this one, known to about a second; dated says that it is known.
	offset time.Duration
	dated  bool
	local  netip.Addr // of the connection
	remote netip.Addr
	client *http.Client
}

// reached returns the first address that has answered; nil if none has.
func (a *above) reached() *answer {
	for i := range a.answers {
		if a.answers[i].err == nil {
			return &a.answers[i]
		}
	}
	return nil
}

// ask has the conversation, once. Later callers wait for it.
func (a *above) ask(ctx context.Context) {
	a.once.Do(func() {
		a.find()
		a.answers = make([]answer, len(a.urls))
		var wg sync.WaitGroup
		for i, u := range a.urls {
			wg.Go(func() { a.answers[i] = a.question(ctx, u) })
		}
		wg.Wait()
	})
}

// find finds out where the tier above is and what proves that it is it.
func (a *above) find() {
	if a.m.contained {
		return // what it knows by names of its own network is not to be reached from here
	}
	if a.m.role == Cluster {
		a.name = "root"
		for _, list := range a.m.own.all("root-url", "") {
			for u := range strings.SplitSeq(list, ",") {
				a.urls = append(a.urls, strings.TrimSuffix(strings.TrimSpace(u), "/"))
			}
		}
	} else {
		a.name = "the cluster"
		a.identity, a.idErr = loadIdentity(a.m.stateDir())
		if a.identity != nil {
			a.urls = []string{"https://" + a.identity.Cluster}
		} else {
			file, _, _ := a.m.netcfg() // another check says what is wrong with it
			host := a.m.engine.get("cluster-address", "a", file.Cluster)
			if host == "" {
				host = "127.0.0.1"
			}
			a.urls = []string{"https://" + net.JoinHostPort(host, a.m.engine.get("cluster-port", "p", fmt.Sprint(defaultClusterAt)))}
		}
	}
	a.token, a.tokenErr = loadToken(a.m.tokenFile())
}

// loadIdentity returns nil where the worker has not joined.
func loadIdentity(stateDir string) (*identity, error) {
	var id identity
	err := statefile.Read(filepath.Join(stateDir, "identity.json"), &id)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none, and nothing has failed
	}
	if err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(id.Cluster); err != nil {
		return nil, fmt.Errorf("its address of the cluster: %w", err)
	}
	return &id, nil
}

func loadToken(path string) (*pki.Token, error) {
	if path == "" {
		return nil, os.ErrNotExist
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxAnswer))
	if err != nil {
		return nil, err
	}
	t, err := pki.ParseToken(string(raw))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// config is a TLS configuration that lets everybody answer, and tells by verify who did: what is asked before is no secret.
func (a *above) config(into *error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: pki.ServerName,
		InsecureSkipVerify: true, //nolint:gosec // it is verified below, so that one with a wrong certificate is told from one that is away
		VerifyConnection: func(cs tls.ConnectionState) error {
			*into = a.verify(cs)
			return nil
		},
	}
}

func (a *above) verify(cs tls.ConnectionState) error {
	switch {
	case a.identity != nil:
		conf, err := pki.ClientTLS([]byte(a.identity.Certificate), []byte(a.identity.Key), []byte(a.identity.CA))
		if err != nil {
			return nil // another check says so
		}
		between := x509.NewCertPool()
		for _, c := range cs.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err = cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: conf.RootCAs, Intermediates: between, DNSName: pki.ServerName})
		return err
	case a.token != nil:
		return pki.PinnedTLS(a.token.CAHash).VerifyConnection(cs)
	}
	return nil
}

func (a *above) question(ctx context.Context, base string) (out answer) {
	out.url = base
	ctx, cancel := context.WithTimeout(ctx, aboveTimeout)
	defer cancel()
	if u, err := url.Parse(base); err != nil || u.Host == "" {
		out.err = fmt.Errorf("%q is no URL such as https://HOST:PORT", base)
		return out
	}
	dialer := &net.Dialer{Timeout: aboveTimeout}
	// No proxy: the programs use none either.
	out.client = &http.Client{Timeout: aboveTimeout, Transport: &http.Transport{TLSClientConfig: a.config(&out.verify), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err == nil {
			out.local, out.remote = addrOf(conn.LocalAddr()), addrOf(conn.RemoteAddr())
		}
		return conn, err
	}}}
	sent := time.Now()
	resp, err := get(ctx, out.client, base+"/readyz", "")
	if err != nil {
		out.err = err
		return out
	}
	took := time.Since(sent)
	out.status, out.body = resp.status, resp.body
	if date, err := http.ParseTime(resp.date); err == nil {
		// The header's second has on average half gone by.
		out.offset, out.dated = date.Add(time.Second/2).Sub(sent.Add(took/2)), true
	}
	return out
}

func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

type reply struct {
	status     int
	body, date string
}

// get asks with a bearer token, if there is one, and reads the beginning of the answer.
func get(ctx context.Context, client *http.Client, where, token string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return reply{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, strings.TrimSpace(string(text)), resp.Header.Get("Date")}, nil
}

// joinPath is where a token of this machine's role is good.
func (a *above) joinPath() string {
	if a.m.role == Cluster {
		return wire.PathClusterJoin
	}
	return wire.PathWorkerJoin
}
