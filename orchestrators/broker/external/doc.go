// SPDX-License-Identifier: Apache-2.0

// Package external owns a cluster orchestrator's way in and out of an MQTT broker that is a program of its own, and what such a
// broker has to be configured with so that it lets each worker, known by the common name of its certificate, write what it sends
// and read what is sent to it, as the built-in broker does.
//
// What such a broker keeps is a copy: the cluster's database says what is true. So nothing that could not be sent is kept here
// either; after each connect the cluster says everything again, under a new epoch. It knows topics but no message.
package external
