// SPDX-License-Identifier: Apache-2.0

// Command oak-testbed brings a whole Oakestra up on one machine, with network namespaces as hosts and real parts otherwise,
// looks into it, injects faults, and takes it down without a trace. "oak-testbed help" explains.
package main
