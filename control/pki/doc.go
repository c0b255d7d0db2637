// SPDX-License-Identifier: Apache-2.0

// Package pki owns what a lower tier needs to prove who it is to the tier above: identifiers, join tokens, keys,
// certificate requests and the TLS configurations of a client.
//
// It knows neither how tokens are stored nor how certificates are signed; that is orchestrators/identity. It imports
// nothing of this project.
package pki
