// SPDX-License-Identifier: Apache-2.0

// Package join owns a worker's identity: how it gets one from its cluster with a token, and how it keeps it.
//
// A [Keeper] has certificates renewed at two thirds of their validity, and uses a token again for one that has run out.
//
// Keys are made here and never leave the worker. They are stored before the cluster is asked, so that a worker whose answer
// was lost asks again with the same keys and becomes the same worker.
package join
