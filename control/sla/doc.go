// SPDX-License-Identifier: Apache-2.0

// Package sla owns the deployment descriptor of version v2.0: its types, its JSON form and its validation.
//
// [Parse] is the one place where names, images, ports, addresses and limits that a user writes are checked; behind it they
// can be trusted as topics, paths and labels. Every fault is reported with its JSON path, all of them at once. Fields that
// this version does not know are kept and given back by marshalling, so that nothing a user wrote is lost.
//
// The package knows nothing of who owns an application, which addresses are taken or which clusters exist.
package sla
