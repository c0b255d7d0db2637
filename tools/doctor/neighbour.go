// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// neighbourChecks are about the tier above, what proves who this machine is to it, and the programs' own word.
func neighbourChecks() []examination {
	below := []Role{Cluster, Worker}
	return []examination{
		{"tier above", "whether the cluster orchestrator (of a worker) or root (of a cluster) answers, is the one that the identity or token names, and is ready; a worker's MQTT brokers", below, false, checkAbove},
		{"clock", "whether the time of day agrees with the tier above's to 15 s, or else whether something keeps it right", Roles(), false, checkClock},
		{"token", "whether the token to join with is there, can be read by its owner alone, and would be accepted now, without spending it; a machine that has joined needs none", below, true, checkToken},
		{"identity", "whether the certificates of a worker, of a cluster at its root, and of the orchestrators' own authority are in their time", Roles(), true, checkIdentity},
		{"programs", "whether the programs that run here say that they are ready and connected", Roles(), false, checkPrograms},
		{"database", "whether the orchestrator's Postgres answers, is recent enough (13) and can be written to", []Role{Root, Cluster}, true, checkDatabase},
	}
}

func checkAbove(ctx context.Context, m *machine, c *collector) {
	a := m.above
	a.ask(ctx)
	if m.contained {
		c.skip("it runs in a container, and asks from there")
		return
	}
	if len(a.urls) == 0 {
		c.skip("no --root-url is known: the cluster orchestrator neither runs nor was one given")
		return
	}
	if good := a.reached(); good == nil {
		for _, w := range a.answers {
			c.found("above-unreachable", fill{"url", w.url, "host", hostOf(w.url)}, "%s does not answer at %s: %s", a.name, w.url, reason(w.err))
		}
		return
	}
	for _, w := range a.answers {
		switch {
		case w.err != nil:
			c.note("%s does not answer: %s; another one does", w.url, reason(w.err))
		case w.verify != nil && !timely(w.verify, w):
			c.found("above-stranger", fill{"host", hostOf(w.url), "role", string(m.role), "file", m.tokenFile()}, "who answers at %s is not who this machine belongs to: %s", w.url, w.verify)
		case w.status != http.StatusOK:
			c.found("above-not-ready", fill{"url", w.url}, "%s at %s answers, and is not ready: %s: %s", a.name, w.url, http.StatusText(w.status), firstLine(w.body))
		default:
			c.note("%s answers at %s", a.name, w.url)
		}
	}
	if a.identity != nil {
		checkBrokers(ctx, a, c)
	}
}

// checkBrokers holds that one of a worker's MQTT brokers takes connections.
func checkBrokers(ctx context.Context, a *above, c *collector) {
	var last error
	for _, b := range a.identity.Brokers {
		conn, err := (&net.Dialer{Timeout: aboveTimeout}).DialContext(ctx, "tcp", b)
		if err == nil {
			_ = conn.Close()
			c.note("MQTT broker %s takes connections", b)
			return
		}
		last = err
	}
	c.found("broker-unreachable", fill{"host", hostOf(strings.Join(a.identity.Brokers, ","))}, "no MQTT broker of the cluster takes connections (%s): %s", strings.Join(a.identity.Brokers, ", "), reason(last))
}

// timely reports whether a certificate was refused for its time alone, by a clock that is wrong: then the clock is what is to be cured.
func timely(err error, w answer) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired && w.dated && w.offset.Abs() > clockOff
}

// clockOff is how far a clock may be from the tier above's.
const clockOff = 15 * time.Second

// plausible is a year that no right clock can show any more.
const plausible = 2026

func checkClock(ctx context.Context, m *machine, c *collector) {
	if now := time.Now(); now.Year() < plausible {
		c.found("clock-off", nil, "the clock is set to %s", now.UTC().Format(time.DateOnly))
		return
	}
	if m.above != nil {
		m.above.ask(ctx)
		if w := m.above.reached(); w != nil && w.dated {
			if w.offset.Abs() > clockOff {
				c.found("clock-off", nil, "the clock is %s %s that of %s (%s)", w.offset.Abs().Round(time.Second), map[bool]string{true: "behind", false: "ahead of"}[w.offset > 0], m.above.name, w.url)
				return
			}
			c.note("within %s of that of %s", clockOff, m.above.name)
		}
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		c.note("the kernel does not tell whether it is kept right: %v", err)
	case t.Status&unix.STA_UNSYNC == 0 && state != unix.TIME_ERROR:
		c.note("synchronised, to %s", (time.Duration(t.Maxerror) * time.Microsecond).Round(time.Millisecond))
	case len(c.notes) > 0:
		c.note("nothing keeps it right, as far as the kernel knows")
	case m.above != nil && len(m.above.urls) > 0 || m.contained:
		// Whom it should agree with is away, and said to be.
		c.skip("the kernel knows of nothing that keeps it right, and there is no tier above to compare with now")
	default:
		c.found("clock-unsynchronised", nil, "the kernel knows of nothing that keeps the clock right")
	}
}

func checkToken(ctx context.Context, m *machine, c *collector) {
	a := m.above
	a.ask(ctx)
	path := m.tokenFile()
	if a.identity != nil || a.idErr != nil {
		c.skip("this worker has joined: it needs none")
		return
	}
	if m.role == Cluster {
		if joined, err := clusterJoined(ctx, m); err != nil {
			c.skip("whether this cluster has joined is in its database: %s", reason(err))
			return
		} else if joined {
			c.skip("this cluster has joined: it needs none")
			return
		}
	}
	if path == "" {
		c.skip("no --join-token-file is known: the cluster orchestrator neither runs nor was one given")
		return
	}
	values := fill{"file", path, "url", strings.Join(a.urls, ","), "host", hostOf(strings.Join(a.urls, ",")), "issuer", issuer(m.role)}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.found("token-missing", values, "this machine has not joined, and there is no token to join with in %s", path)
		return
	case err != nil:
		c.skip("%v", err)
		return
	case st.Mode().Perm()&0o077 != 0:
		c.found("token-open", values, "others than its owner can read or write %s (mode %o)", path, st.Mode().Perm())
	}
	if errors.Is(a.tokenErr, os.ErrPermission) {
		c.skip("%v", a.tokenErr)
		return
	}
	if a.tokenErr != nil {
		c.found("token-refused", values, "what is in %s is no token: %s", path, a.tokenErr)
		return
	}
	if want := string(m.role); a.token.Role != want {
		c.found("token-refused", values, "the token in %s is for a %s to join with, not for a %s", path, a.token.Role, want)
		return
	}
	askToken(ctx, a, path, values, c)
}

func issuer(role Role) string {
	if role == Cluster {
		return "oak token create"
	}
	return "cluster-orchestrator token create"
}

// askToken asks whoever issued it whether a token is good.
func askToken(ctx context.Context, a *above, path string, values fill, c *collector) {
	w := a.reached()
	if w == nil {
		c.skip("there is nobody to ask about it")
		return
	}
	if w.verify != nil {
		// It is not shown to one who has not issued it.
		c.found("token-refused", values, "the token in %s was not issued by %s at %s: %s", path, a.name, w.url, w.verify)
		return
	}
	r, err := get(ctx, w.client, w.url+a.joinPath(), a.token.String())
	switch {
	case err != nil:
		c.skip("it could not be asked about: %s", reason(err))
	case r.status == http.StatusNoContent || r.status == http.StatusOK:
		c.note("it would be accepted")
	case r.status == http.StatusUnauthorized:
		c.found("token-refused", values, "%s does not accept the token in %s: %s", a.name, path, detail(r.body))
	default:
		c.skip("%s cannot be asked about it: it answers %d", a.name, r.status)
	}
}

// detail is what an error's body says.
func detail(body string) string {
	var p struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal([]byte(body), &p) == nil && p.Detail != "" {
		return p.Detail
	}
	return firstLine(body)
}

func firstLine(s string) string {
	const most = 200
	s, _, _ = strings.Cut(s, "\n")
	return strings.ToValidUTF8(s[:min(len(s), most)], "?")
}

// reason is an error without the request that it came of.
func reason(err error) string {
	if err == nil {
		return "nothing was named"
	}
	text := err.Error()
	if i := strings.LastIndex(text, `": `); i >= 0 { // of net/url: Get "https://…": dial tcp …
		text = text[i+3:]
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + aboveTimeout.String()
	}
	return text
}

func hostOf(where string) string {
	where, _, _ = strings.Cut(where, ",")
	_, after, ok := strings.Cut(where, "://")
	if !ok {
		after = where
	}
	host, _, err := net.SplitHostPort(after)
	if err != nil {
		return after
	}
	return host
}

// certificate judges one certificate's time.
func certificate(c *collector, what string, text []byte, now time.Time, values fill) {
	cert, err := pki.ParseCert(text)
	if err != nil {
		c.found("identity-broken", values, "%s cannot be read: %v", what, err)
		return
	}
	life := cert.NotAfter.Sub(cert.NotBefore)
	switch {
	case now.After(cert.NotAfter):
		c.found("certificate-expired", values, "%s was valid until %s", what, cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore.Add(-time.Hour)):
		c.found("clock-off", values, "%s is valid from %s on, which this clock has not reached", what, cert.NotBefore.UTC().Format(time.RFC3339))
	case !cert.IsCA && now.After(cert.NotAfter.Add(-life/5)) || cert.IsCA && now.After(cert.NotAfter.Add(-life/20)):
		c.found("certificate-due", values, "%s is valid until %s, and should have been renewed by now", what, cert.NotAfter.UTC().Format(time.RFC3339))
	default:
		c.note("%s is valid for %s days", what, strconv.Itoa(int(cert.NotAfter.Sub(now).Hours()/24)))
	}
}

func checkIdentity(ctx context.Context, m *machine, c *collector) {
	if m.role != Worker {
		checkAuthority(ctx, m, c)
		return
	}
	a := m.above
	a.ask(ctx)
	values := fill{"dir", m.stateDir(), "file", m.tokenFile(), "host", hostOf(strings.Join(a.urls, ","))}
	switch {
	case errors.Is(a.idErr, os.ErrPermission):
		c.skip("%v", a.idErr)
	case a.idErr != nil:
		c.found("identity-broken", values, "the identity in %s cannot be used: %v", m.stateDir(), a.idErr)
	case a.identity == nil:
		c.skip("this worker has not joined yet")
	default:
		now := time.Now()
		for _, one := range []struct{ what, cert, key string }{
			{"NodeEngine's certificate", a.identity.Certificate, a.identity.Key}, {"NetManager's certificate", a.identity.NetCertificate, a.identity.NetKey},
		} {
			if len(c.findings) > 0 {
				break // it is one identity, whose parts were issued and are renewed together
			}
			certificate(c, one.what, []byte(one.cert), now, values)
			if _, err := pki.ClientTLS([]byte(one.cert), []byte(one.key), []byte(a.identity.CA)); err != nil {
				c.found("identity-broken", values, "%s in %s cannot be used: %v", one.what, m.stateDir(), err)
			}
		}
	}
}

// status asks a program's local API.
func status(ctx context.Context, socket, path string, into any) error {
	client := &http.Client{Timeout: aboveTimeout, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	r, err := get(ctx, client, "http://local"+path, "")
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("it answers %d: %s", r.status, detail(r.body))
	}
	return json.Unmarshal([]byte(r.body), into)
}
