// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

const (
	// caTTL is how long an authority is valid. Replacing it means that the whole tier below joins again.
	caTTL = 20 * 365 * 24 * time.Hour
	// serverTTL is how long a server certificate is valid; a new one is made at two thirds.
	serverTTL = 90 * 24 * time.Hour
	// backdate allows for clocks of the tier below that are late.
	backdate = time.Hour
)

// ClientTTL is the usual validity of a client certificate.
const ClientTTL = 90 * 24 * time.Hour

// CA is the certificate authority of one root or one cluster.
type CA struct {
	id      string
	cert    *x509.Certificate
	certPEM []byte
	key     crypto.Signer
	pool    *pgxpool.Pool
}

// LoadCA returns the authority of the database, creating it at first use; of several processes that do so at once, one
// wins and all get the same.
func LoadCA(ctx context.Context, pool *pgxpool.Pool) (*CA, error) {
	var id, certPEM, keyPEM string
	err := store.InTx(ctx, pool, func(tx pgx.Tx) error {
		fresh, err := newAuthority()
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO authority (id, cert_pem, key_pem) SELECT $1, $2, $3
			WHERE NOT EXISTS (SELECT FROM authority) ON CONFLICT DO NOTHING`, fresh.id, fresh.cert, fresh.key)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT id, cert_pem, key_pem FROM authority`).Scan(&id, &certPEM, &keyPEM)
	})
	if err != nil {
		return nil, fmt.Errorf("load certificate authority: %w", err)
	}
	cert, err := pki.ParseCert([]byte(certPEM))
	if err != nil {
		return nil, fmt.Errorf("load certificate authority: %w", err)
	}
	key, err := pki.ParseKey([]byte(keyPEM))
	if err != nil {
		return nil, fmt.Errorf("load certificate authority: %w", err)
	}
	return &CA{id: id, cert: cert, certPEM: []byte(certPEM), key: key, pool: pool}, nil
}

type authority struct{ id, cert, key string }

func newAuthority() (authority, error) {
	keyPEM, err := pki.NewKey()
	if err != nil {
		return authority{}, err
	}
	key, err := pki.ParseKey(keyPEM)
	if err != nil {
		return authority{}, err
	}
	a := authority{id: pki.NewID(), key: string(keyPEM)}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "Oakestra CA " + a.id},
		NotBefore:             time.Now().Add(-backdate),
		NotAfter:              time.Now().Add(caTTL),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, fmt.Errorf("create CA certificate: %w", err)
	}
	a.cert = string(pki.EncodeCert(der))
	return a, nil
}

// newSerial returns 127 random bits: unique, positive, and within the 20 bytes that RFC 5280 allows.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

// ID is the id of the installation (at root) or cluster whose authority this is; tokens carry it as their audience.
func (ca *CA) ID() string { return ca.id }

// CertPEM returns the authority's certificate.
func (ca *CA) CertPEM() []byte { return ca.certPEM }

// Hash returns the SHA-256 of the authority's certificate in hexadecimal, as tokens carry it.
func (ca *CA) Hash() string { return pki.CertHash(ca.cert.Raw) }

// SignClient signs a certificate request as the client certificate of id in the organisation org, valid for ttl. Whatever
// subject the request asks for is ignored.
func (ca *CA) SignClient(csrPEM []byte, id, org string, ttl time.Duration) (certPEM []byte, err error) {
	csr, err := pki.ParseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: id}
	if org != "" {
		subject.Organization = []string{org}
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      subject,
		NotBefore:    time.Now().Add(-min(backdate, ttl/3)),
		NotAfter:     time.Now().Add(ttl),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, csr.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", id, err)
	}
	return pki.EncodeCert(der), nil
}
