// SPDX-License-Identifier: Apache-2.0

// Package addresses owns which address of the overlay belongs to whom: service addresses, Instance IPs, and the blocks of
// worker subnets that clusters lease. All of it happens in the caller's transaction, so an address is taken exactly if
// what it was taken for is stored.
//
// What is released is reused in order after a quarantine. The package knows neither users nor how instances are placed.
package addresses
