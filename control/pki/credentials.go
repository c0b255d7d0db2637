// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"time"
)

// Credentials are a client certificate and key that may be replaced while connections are made with them. Its methods may be used
// concurrently.
type Credentials struct {
	roots *x509.CertPool
	pair  atomic.Pointer[tls.Certificate]
}

// NewCredentials returns credentials for mutual TLS to the tier above, whose authority caPEM is.
func NewCredentials(certPEM, keyPEM, caPEM []byte) (*Credentials, error) {
	conf, err := ClientTLS(certPEM, keyPEM, caPEM)
	if err != nil {
		return nil, err
	}
	c := &Credentials{roots: conf.RootCAs}
	return c, c.Replace(certPEM, keyPEM)
}

// Replace has connections that are made from now on show another certificate of the same authority. Those that are there go on.
func (c *Credentials) Replace(certPEM, keyPEM []byte) error {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("load client certificate: %w", err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("load client certificate: %w", err)
		}
	}
	c.pair.Store(&pair)
	return nil
}

// TLS returns the configuration of [ClientTLS] with whichever certificate is the newest when a connection is made.
func (c *Credentials) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		RootCAs:    c.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.pair.Load(), nil
		},
	}
}

// Leaf is the certificate that is shown now.
func (c *Credentials) Leaf() *x509.Certificate { return c.pair.Load().Leaf }

// Expired reports whether the certificate is of no use any more at a time.
func (c *Credentials) Expired(now time.Time) bool { return now.After(c.Leaf().NotAfter) }

// RenewAt is when a new certificate is due: after two thirds of this one's validity, so that an orchestrator may be away for a third of it.
func (c *Credentials) RenewAt() time.Time { return RenewAt(c.Leaf()) }

// RenewAt is [Credentials.RenewAt] of any certificate.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}
