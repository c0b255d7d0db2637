// SPDX-License-Identifier: Apache-2.0

// Package config owns the file in which oak keeps where root is and what the last login gave. It never holds a password.
// It knows nothing of flags, of the environment or of the API.
package config
