// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// ServerName is the subject alternative name of every orchestrator's server certificate. Orchestrators are told apart by
// their CA, not by DNS: a lower tier may reach its orchestrator by any name or address.
const ServerName = "orchestrator"

// PinnedTLS returns the TLS configuration for a join: it accepts only a server whose chain contains a CA certificate with
// the given SHA-256 (hexadecimal, from a token), and whose own certificate that CA signed for [ServerName].
func PinnedTLS(caHash string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		// The chain is verified below, against the pinned CA in place of the system's.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPinned(cs.PeerCertificates, caHash)
		},
	}
}

func verifyPinned(chain []*x509.Certificate, caHash string) error {
	if len(chain) == 0 {
		return errors.New("verify server: it sent no certificate")
	}
	for _, cert := range chain {
		if !cert.IsCA || CertHash(cert.Raw) != caHash {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		_, err := chain[0].Verify(x509.VerifyOptions{
			Roots:     roots,
			DNSName:   ServerName,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			return fmt.Errorf("verify server against the pinned CA: %w", err)
		}
		return nil
	}
	return fmt.Errorf("verify server: no CA with SHA-256 %.16s… in its chain; is the join token from this orchestrator?", caHash)
}

// ClientTLS returns the TLS configuration for mutual TLS to the tier above. The server's chain has to verify to caPEM and
// its certificate to be a server certificate for [ServerName], whatever name or address it was dialled by.
func ClientTLS(certPEM, keyPEM, caPEM []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load client certificate: %w", err)
	}
	ca, err := ParseCert(caPEM)
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		ServerName:   ServerName,
		RootCAs:      roots,
		Certificates: []tls.Certificate{pair},
	}, nil
}
