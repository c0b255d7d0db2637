// SPDX-License-Identifier: Apache-2.0

// Package proc owns processes that outlive the command that started them: how they are started, told apart from later ones
// with the same number, found again without any record, signalled and waited for.
//
// It reads /proc and knows nothing of what the processes are.
package proc
