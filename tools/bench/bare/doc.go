// SPDX-License-Identifier: Apache-2.0

// Package bare owns two programs that carry IPv4 packets between known containers and do nothing else: what any tunnel of this make,
// programs on veths that wrap packets into UDP, costs at least. They stand beside the ways that are compared to show what can be reached.
package bare

//go:generate ./generate.sh
