// SPDX-License-Identifier: Apache-2.0

// Package cli owns the commands of oak: their names, flags, output and exit codes. It reaches root through control/client
// alone and knows nothing that root's REST API does not tell.
package cli
