// SPDX-License-Identifier: Apache-2.0

// Package routes owns what service addresses and Instance IPs stand for on this worker: the maps vips, services and backends, and
// the set of addresses that the worker wants to know about.
//
// It turns the cluster's routes into map entries, in the order in which packets may see them: backends, then services, then
// addresses last; and back in reverse. The maps are the truth: after a restart it goes on from what they hold, with the same indices,
// whatever files are lost. It may not know MQTT, hello packets or held packets; peers and local endpoints it knows by the functions
// of its [Config].
package routes
