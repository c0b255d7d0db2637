// SPDX-License-Identifier: Apache-2.0

// Package e2e owns the end-to-end tests: a whole Oakestra on the testbed, with real parts, judged by what containers
// receive and by what containerd, Postgres and the pinned maps hold, never by the API alone. It needs root. A test that fails
// leaves the logs of all components in the folder that it names.
package e2e
