// SPDX-License-Identifier: Apache-2.0

package external

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// User is the common name of the cluster orchestrator's own certificate, by which the broker's access rules know it. It is no
// identifier, so that no worker can have it.
const User = "cluster-orchestrator"

// TLS returns how a cluster orchestrator connects to its broker: as [User], by a certificate that is made here and renewed in
// time, and to no server that the authority has not certified.
func TLS(ca *identity.CA) (*tls.Config, error) {
	c := &ownCert{ca: ca}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	cert, err := pki.ParseCert(ca.CertPEM())
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: pki.ServerName, RootCAs: roots, GetClientCertificate: c.get}, nil
}

// ownCert is the certificate of this process.
type ownCert struct {
	ca *identity.CA

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
}

func (c *ownCert) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && time.Now().Before(c.renewAt) {
		return c.current, nil
	}
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := pki.NewCSR(key)
	if err != nil {
		return nil, err
	}
	cert, err := c.ca.SignClient(csr, User, User, identity.ClientTTL)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("use the certificate for the broker: %w", err)
	}
	c.current, c.renewAt = &pair, time.Now().Add(identity.ClientTTL*2/3)
	return c.current, nil
}
