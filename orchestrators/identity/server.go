// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// ServerTLS returns the TLS configuration of an orchestrator's listener. Its certificate is for [pki.ServerName] and the
// given DNS names and IP addresses, and is renewed by itself. A client certificate is not asked of everyone, but one that
// is shown has to be this authority's; [PeerID] tells whose it is.
func (ca *CA) ServerTLS(names ...string) (*tls.Config, error) {
	s := &serverCert{ca: ca, names: names}
	if _, err := s.get(nil); err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	return &tls.Config{
		MinVersion:     tls.VersionTLS12, // users' clients; those of the tiers ask for 1.3
		NextProtos:     []string{"http/1.1"},
		GetCertificate: s.get,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      clients,
	}, nil
}

type serverCert struct {
	ca    *CA
	names []string

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
}

func (s *serverCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && time.Now().Before(s.renewAt) {
		return s.current, nil
	}
	cert, err := s.ca.newServerCert(s.names)
	if err != nil {
		return nil, err
	}
	s.current, s.renewAt = cert, time.Now().Add(serverTTL*2/3)
	return cert, nil
}

func (ca *CA) newServerCert(names []string) (*tls.Certificate, error) {
	keyPEM, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	key, err := pki.ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	der, err := ca.signServer(key, serverTTL, names)
	if err != nil {
		return nil, err
	}
	// The CA is sent along: a client that joins knows only its hash.
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}, nil
}

// IssueServer makes a certificate and its key for a server that is a program of its own, such as an external MQTT broker: for
// [pki.ServerName] and the given DNS names and IP addresses, valid for ttl.
func (ca *CA) IssueServer(ttl time.Duration, names ...string) (certPEM, keyPEM []byte, err error) {
	if keyPEM, err = pki.NewKey(); err != nil {
		return nil, nil, err
	}
	key, err := pki.ParseKey(keyPEM)
	if err != nil {
		return nil, nil, err
	}
	der, err := ca.signServer(key, ttl, names)
	if err != nil {
		return nil, nil, err
	}
	return pki.EncodeCert(der), keyPEM, nil
}

func (ca *CA) signServer(key crypto.Signer, ttl time.Duration, names []string) (der []byte, err error) {
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: pki.ServerName},
		DNSNames:     []string{pki.ServerName},
		NotBefore:    time.Now().Add(-backdate),
		NotAfter:     time.Now().Add(ttl),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err = x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign server certificate: %w", err)
	}
	return der, nil
}
