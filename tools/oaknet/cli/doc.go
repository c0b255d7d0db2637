// SPDX-License-Identifier: Apache-2.0

// Package cli owns the commands of oak-net: their names, flags, output and exit codes. What is shown comes from
// tools/oaknet/inspect; it knows nothing of maps.
package cli
