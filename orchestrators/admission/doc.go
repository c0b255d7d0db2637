// SPDX-License-Identifier: Apache-2.0

// Package admission owns how many strangers a listener lets wait at a time before they have said who they are. It knows
// connections, but no protocol.
package admission
