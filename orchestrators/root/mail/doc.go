// SPDX-License-Identifier: Apache-2.0

// Package mail owns how root sends a mail: over SMTP, by a server that it was told of. It knows nothing of users.
package mail
