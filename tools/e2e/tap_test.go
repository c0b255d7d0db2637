// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// tap is a client of a cluster's mosquitto that may read everything, and keeps it.
type tap struct {
	mu       sync.Mutex
	messages []mqtt.Message
}

// eavesdropper is the common name of its certificate. No worker has it.
const eavesdropper = "eavesdropper"

// letIn has the broker of a cluster let a client read whatever there is.
func letIn(t *testing.T, cluster string) {
	t.Helper()
	broker := "mosquitto@" + cluster
	all, err := testbed.Components()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c testbed.Component) bool { return c.String() == broker })
	if i < 0 {
		t.Fatalf("there is no %s", broker)
	}
	conf, err := os.ReadFile(all[i].Spec.Args[len(all[i].Spec.Args)-1])
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(conf), "\nacl_file ")
	file, _, _ := strings.Cut(rest, "\n")
	rules, err := os.ReadFile(file)
	if !ok || err != nil {
		t.Fatalf("no access rules in %s: %v", conf, err)
	}
	extra := "user " + eavesdropper + "\ntopic read #\n\n"
	if err := os.WriteFile(file, append([]byte(extra), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
	fault(t, testbed.Restart, broker) // reading its rules anew by a signal would do nothing that could be waited for
}

// listen connects a tap, which has all retained messages at once and the others as they come.
func listen(t *testing.T, s *scene.Scene, cluster, id string) *tap {
	t.Helper()
	h, err := s.Testbed.Host(cluster)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := asEavesdropper(t.Context(), s.Testbed.DatabaseURL(cluster))
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{}
	session, err := mqtt.Dial(t.Context(), mqtt.Options{
		Brokers: []string{net.JoinHostPort(h.Address, "10003")}, ClientID: id, TLS: conf,
		Handlers: map[string]func(mqtt.Message){"#": func(m mqtt.Message) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.messages = append(p.messages, m)
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return p
}

// asEavesdropper makes a certificate with a cluster's own authority.
func asEavesdropper(ctx context.Context, database string) (*tls.Config, error) {
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close(ctx) }()
	var certPEM, keyPEM []byte
	if err := db.QueryRow(ctx, `SELECT cert_pem, key_pem FROM authority`).Scan(&certPEM, &keyPEM); err != nil {
		return nil, err
	}
	authority, err := pki.ParseCert(certPEM)
	if err != nil {
		return nil, err
	}
	signer, err := pki.ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	ownPEM, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	own, err := pki.ParseKey(ownPEM)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: eavesdropper}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority, own.Public(), signer)
	if err != nil {
		return nil, err
	}
	return pki.ClientTLS(pki.EncodeCert(der), ownPEM, certPEM)
}

// holding returns the topics of messages that hold a word in some form.
func (p *tap) holding(word string) (topics []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		if form := inSomeForm([]byte(m.Topic+"\n"+string(m.Payload)), word); form != "" {
			topics = append(topics, fmt.Sprintf("%s (%s)", m.Topic, form))
		}
	}
	return topics
}

// topics counts messages by the part of their topic that says what they are.
func (p *tap) topics() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := map[string]int{}
	for _, m := range p.messages {
		if parts := strings.SplitN(m.Topic, "/", 3); len(parts) == 3 {
			count[parts[2]]++
		}
	}
	return count
}

// inSomeForm says in which form data holds a word: as it is, in hexadecimal, or in base64, whatever stands before it; "" if it does not.
func inSomeForm(data []byte, word string) string {
	if bytes.Contains(data, []byte(word)) {
		return "as it is"
	}
	if bytes.Contains(bytes.ToLower(data), []byte(hex.EncodeToString([]byte(word)))) {
		return "in hexadecimal"
	}
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			// The groups of four letters that are made of the word alone, wherever its first byte falls within one.
			text := encoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + word))
			first := (shift + 2) / 3 * 4
			last := (shift + len(word)) / 3 * 4
			if bytes.Contains(data, []byte(text[first:last])) {
				return "in base64"
			}
		}
	}
	return ""
}

func TestEachFormIsFound(t *testing.T) {
	const word = "UR5XK3QZL?>~7W2N"
	for _, before := range []string{"", "a", "bc", "def"} {
		for _, after := range []string{"", "x", "yz"} {
			text := before + word + after
			for _, form := range []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))),
				base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text))} {
				if inSomeForm([]byte(`{"value":"`+form+`"}`), word) == "" {
					t.Errorf("not found in %q", form)
				}
			}
		}
	}
	if form := inSomeForm([]byte("nothing of the kind"), word); form != "" {
		t.Errorf("found %s", form)
	}
}
