// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/tls"
	"net/http"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// PeerID returns the id in the client certificate with which a request was made. It is false for a request on plain or
// without a certificate.
func PeerID(r *http.Request) (id string, ok bool) {
	if r.TLS == nil {
		return "", false
	}
	return PeerIDOf(*r.TLS)
}

// PeerIDOf is [PeerID] for any TLS connection, such as one of the MQTT broker.
func PeerIDOf(cs tls.ConnectionState) (id string, ok bool) {
	// Only verified chains count: with tls.VerifyClientCertIfGiven they are there for every accepted certificate.
	if len(cs.VerifiedChains) == 0 || len(cs.VerifiedChains[0]) == 0 {
		return "", false
	}
	id = cs.VerifiedChains[0][0].Subject.CommonName
	return id, pki.ValidID(id)
}
