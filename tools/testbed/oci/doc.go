// SPDX-License-Identifier: Apache-2.0

// Package oci owns the testbed's images: how a folder becomes a one-layer OCI image, how it is pushed, and the registry that
// it is pushed to. The registry speaks plain HTTP and keeps everything in memory.
//
// It knows nothing of hosts or of the other programs of the testbed.
package oci
