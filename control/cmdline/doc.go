// SPDX-License-Identifier: Apache-2.0

// Package cmdline owns what the command lines of all programs have in common: every flag is an environment variable too, the same
// two flags say how to log, the reference of all this is printed from what really runs, groups of commands refuse what is none of theirs, an exit code says what kind of failure it was, and
// SIGINT and SIGTERM end a program by ending its context.
//
// It knows no program's own flags and nothing of what they do.
package cmdline
