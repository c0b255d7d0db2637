// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGuesses(t *testing.T) {
	g, now := newGuesses(), time.Now()
	for range wrongPerAccount {
		_, wait := g.attempt("a", "Admin", now)
		require.Zero(t, wait)
	}
	_, wait := g.attempt("a", "ADMIN", now)
	require.Equal(t, forgiveAfter, wait)
	_, wait = g.attempt("b", "admin", now)
	require.Zero(t, wait, "nobody is locked out from elsewhere")
	right, wait := g.attempt("a", "admin", now.Add(forgiveAfter))
	require.Zero(t, wait)
	right()
	_, wait = g.attempt("a", "admin", now.Add(forgiveAfter))
	require.Zero(t, wait, "the right password clears the account")
	for n := range wrongPerPeer {
		_, _ = g.attempt("c", fmt.Sprint(n), now)
	}
	_, wait = g.attempt("c", "another", now)
	require.Positive(t, wait)
}

func TestGuessesAreBounded(t *testing.T) {
	g, now := newGuesses(), time.Now()
	long := strings.Repeat("x", 1<<10)
	for n := range maxGuessers + 100 {
		now = now.Add(time.Millisecond)
		_, _ = g.attempt(fmt.Sprint(n), long, now)
	}
	require.LessOrEqual(t, len(g.by), maxGuessers)
	for key := range g.by {
		require.Less(t, len(key), 100)
	}
}
