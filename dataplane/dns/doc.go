// SPDX-License-Identifier: Apache-2.0

// Package dns owns the names that containers of this worker look up: a resolver on the gateway's addresses that answers for the zone
// oak and for the reverse names of overlay addresses, and forwards everything else to the worker's own resolvers.
//
// Names follow the rules of routes: what is looked up is wanted, the cluster answers, the answer is remembered, stored and lapses. A name
// that is known is answered from memory, whether the cluster is there or not; one that is not waits for the cluster, for a bounded time.
// Only containers of this worker are answered, each for its own organisation. The package may not know maps, programs or MQTT.
package dns
