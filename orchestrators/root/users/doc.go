// SPDX-License-Identifier: Apache-2.0

// Package users owns accounts, organisations, passwords, logins and the tokens that prove them. It knows no route and
// nothing of what a user may do beyond his roles.
package users
