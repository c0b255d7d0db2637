// SPDX-License-Identifier: Apache-2.0

// Package vault owns the sealing of what users entrust to root: each value is encrypted by a key of its own (AES-256-GCM), and that key by
// the installation's key, which is kept outside the database. So a dump of the database tells nothing, and neither does the key file alone.
//
// A sealed value is bound to a context, such as whose it is and under which name, and opens in no other: rows cannot be exchanged. The
// package knows neither the database nor what the values are.
package vault
