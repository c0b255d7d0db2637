// SPDX-License-Identifier: Apache-2.0

// Package ledger owns what a cluster wants and sees: the instances that root has given it, the copies of them that it has given
// to workers, tombstones, and what workers have reported. It decides; it does not store.
//
// Its methods come in two kinds. Those that return [Changes] decide without changing anything: the caller stores the changes in
// one transaction and only then calls [Ledger.Apply]. The others take in what was seen from below, which is true whether or not
// it is stored. The package knows neither Postgres nor MQTT nor time: the caller passes it in. It is not safe for concurrent use.
package ledger
