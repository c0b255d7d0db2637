// SPDX-License-Identifier: Apache-2.0

// Package localapi owns the Unix socket on which a NodeEngine tells the people of its machine how it is: the server and the
// client that `NodeEngine status` uses. Only root is answered.
package localapi
