// SPDX-License-Identifier: Apache-2.0

// Package agent owns the life of NetManager: it prepares devices and programs, restores what the state folder holds, speaks
// with the cluster over MQTT and with NodeEngine over the local API, and hands what they say to the packages that know what
// to do with it.
//
// State of the cluster is applied, stored and acknowledged by stamps; nothing that is absent changes anything. Nothing is
// torn down at the end: programs, maps, devices and routes go on without the process, and the next one takes them over.
package agent
