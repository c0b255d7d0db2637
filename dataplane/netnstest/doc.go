// SPDX-License-Identifier: Apache-2.0

// Package netnstest owns the network namespaces that tests of the dataplane play hosts and containers in: making them, working
// in them, and that nothing of them outlives a test. It knows nothing of the dataplane. Only tests import it; all of it needs root.
package netnstest
