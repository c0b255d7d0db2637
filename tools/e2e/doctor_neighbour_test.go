// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// withWrongTokens examines a worker that has not joined yet, with tokens of all sorts.
func withWrongTokens(t *testing.T, p patient) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	args := []string{"--state-dir", dir, "--join-token-file", file}
	p.finds("no token", "token-missing", file, nil, args...)
	good := p.token("cluster-orchestrator", "c1", "worker", "1h")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text+"\n"), mode), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // to be asked about spends nothing
		write(good, 0o600)
		p.silent("a good token", nil, args...)
	}
	write(good, 0o644)
	p.finds("a token for everybody to read", "token-open", "mode 644", nil, args...)
	parsed, err := pki.ParseToken(good)
	if err != nil {
		t.Fatal(err)
	}
	forged := parsed
	forged.Secret = pki.NewSecret()
	for what, wrong := range map[string][]string{
		"a forged token":         {forged.String(), "unknown here"},
		"no token at all":        {"open sesame", "no token"},
		"a token for a cluster":  {p.token("root-orchestrator", "root", "cluster", "1h"), "for a cluster"},
		"a token of another one": {func() string { o := parsed; o.CAHash = strings.Repeat("0", 64); return o.String() }(), "not issued by"},
	} {
		write(wrong[0], 0o600)
		p.finds(what, "token-refused", wrong[1], nil, args...)
	}
	write(p.token("cluster-orchestrator", "c1", "worker", "1s"), 0o600)
	time.Sleep(1100 * time.Millisecond)
	p.finds("an expired token", "token-refused", "expired", nil, args...)
	write(good, 0o600)
	p.silent("the good token again", nil, args...)
}

// token has an orchestrator make one.
func (p patient) token(program, database, role, ttl string) string {
	p.t.Helper()
	dir, err := bin()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := p.s.Testbed.Run(p.t.Context(), "root", filepath.Join(dir, program), "token", "create", "--quiet", "--role", role, "--ttl", ttl,
		"--database", p.s.Testbed.DatabaseURL(database))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// authority signs certificates as an orchestrator's does.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "scripted"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key, cert}
}

// sign returns a certificate, for a server and a client, valid over a time, and its key, in PEM.
func (a authority) sign(t *testing.T, from, to time.Time) (cert, key []byte) {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := pki.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: pki.NewID()}, NotBefore: from, NotAfter: to,
		DNSNames: []string{pki.ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.cert, signer.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pki.EncodeCert(der), key
}

// withAWrongClock has a scripted cluster tell another time of day than this machine's, which cannot be turned for one host alone.
func withAWrongClock(t *testing.T, p patient) {
	ca := newAuthority(t)
	now := time.Now()
	certPEM, keyPEM := ca.sign(t, now.Add(-time.Minute), now.Add(time.Hour))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	if err := underlay.In(p.host, func() (err error) {
		listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var ahead time.Duration
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	joined := func(from, to time.Time) []string {
		t.Helper()
		dir := t.TempDir()
		cert, key := ca.sign(t, from, to)
		at := listener.Addr().String()
		if err := statefile.Write(filepath.Join(dir, "identity.json"), map[string]any{"format": 1, "worker_id": pki.NewID(), "cluster": at, "brokers": []string{at},
			"ca": string(pki.EncodeCert(ca.cert.Raw)), "certificate": string(cert), "key": string(key), "net_certificate": string(cert), "net_key": string(key)}); err != nil {
			t.Fatal(err)
		}
		return []string{"--state-dir", dir}
	}
	valid := joined(now.Add(-time.Minute), now.Add(time.Hour))
	p.silent("a cluster of the same time", nil, valid...)
	ahead = 10 * time.Minute
	p.finds("a clock that is behind", "clock-off", "10m0s behind", nil, valid...)
	ahead = -2 * time.Hour
	p.finds("a clock that is ahead", "clock-off", "2h0m0s ahead of", nil, valid...)
	ahead = 0
	p.finds("a certificate whose time is over", "certificate-expired", "valid until", nil, joined(now.Add(-time.Hour), now.Add(-time.Minute))...)
	p.finds("a certificate that was not renewed", "certificate-due", "should have been renewed", nil, joined(now.Add(-99*time.Hour), now.Add(time.Hour))...)
	ca = newAuthority(t)
	p.finds("another cluster at the address", "above-stranger", "not who", nil, joined(now.Add(-time.Minute), now.Add(time.Hour))...)
}

// withAStrangersPrograms hangs programs that are none of NetManager's on the uplink: each way that there is.
func withAStrangersPrograms(t *testing.T, p patient) {
	load := func(kind ebpf.ProgramType, result int32) *ebpf.Program {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "stranger", Type: kind, License: "Dual BSD/GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, result), asm.Return()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = prog.Close() })
		return prog
	}
	tc := load(ebpf.SchedCLS, -1) // go on
	card := load(ebpf.XDP, 2)     // pass
	for where, attach := range map[string]func(netlink.Link) (func() error, error){
		"tc ingress": func(l netlink.Link) (func() error, error) {
			qdisc := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
			if err := netlink.QdiscAdd(qdisc); err != nil {
				return nil, err
			}
			f := &netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 7, Protocol: unix.ETH_P_ALL},
				Fd: tc.FD(), Name: "stranger", DirectAction: true}
			return func() error { return netlink.QdiscDel(qdisc) }, netlink.FilterAdd(f)
		},
		"tcx egress": func(l netlink.Link) (func() error, error) {
			hung, err := link.AttachTCX(link.TCXOptions{Interface: l.Attrs().Index, Program: tc, Attach: ebpf.AttachTCXEgress})
			if errors.Is(err, ebpf.ErrNotSupported) {
				return nil, nil // before Linux 6.6
			}
			if err != nil {
				return nil, err
			}
			return hung.Close, nil
		},
		"XDP": func(l netlink.Link) (func() error, error) {
			hung, err := link.AttachXDP(link.XDPOptions{Interface: l.Attrs().Index, Program: card, Flags: link.XDPGenericMode})
			if err != nil {
				return nil, err
			}
			return hung.Close, nil
		},
	} {
		var away func() error
		if err := underlay.In(p.host, func() error {
			l, err := netlink.LinkByName(underlay.Uplink)
			if err == nil {
				away, err = attach(l)
			}
			return err
		}); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", where, err))
		}
		if away == nil {
			continue
		}
		p.finds("a stranger's program ("+where+")", "foreign-program", where, nil)
		if err := underlay.In(p.host, away); err != nil {
			t.Fatal(err)
		}
	}
}
