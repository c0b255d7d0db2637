// SPDX-License-Identifier: Apache-2.0

// Package semantic owns what names and addresses of the overlay mean: the ranges that worker subnets and service addresses
// come from, which policy a service address stands for, and the job name that a service is known by.
//
// It holds pure functions over [wire.Ranges]. It does not allocate, store or send anything, and does not know which
// addresses are in use.
package semantic
