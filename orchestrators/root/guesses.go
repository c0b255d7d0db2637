// SPDX-License-Identifier: Apache-2.0

package root

import (
	"crypto/sha256"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// Bounds of guessing passwords. A peer has so many wrong ones for one account, and so many in all; each is forgiven after a
// while. Others are not held up: nobody can lock a user out from elsewhere.
const (
	wrongPerAccount = 10
	wrongPerPeer    = 100
	forgiveAfter    = 6 * time.Second
	// maxGuessers bounds how many are remembered; those that were quiet longest are forgotten first.
	maxGuessers = 8192
)

// guesses counts wrong passwords.
type guesses struct {
	mu sync.Mutex
	by map[string]*guesser
}

type guesser struct {
	wrong float64 // less what is forgiven by the time of last
	last  time.Time
}

func newGuesses() *guesses { return &guesses{by: map[string]*guesser{}} }

// attempt counts an attempt as wrong until it turns out right, so that many at once are no more than one after another. It
// returns how long to wait instead if there were too many.
func (g *guesses) attempt(peer, account string, now time.Time) (right func(), wait time.Duration) {
	sum := sha256.Sum256([]byte(strings.ToLower(account))) // names are as long as a stranger makes them
	account = peer + " " + string(sum[:])
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, most := range map[string]float64{account: wrongPerAccount, peer: wrongPerPeer} {
		if over := g.of(key, now).wrong + 1 - most; over > 0 {
			wait = max(wait, time.Duration(over*float64(forgiveAfter)))
		}
	}
	if wait > 0 {
		return nil, wait
	}
	g.of(account, now).wrong++
	g.of(peer, now).wrong++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.by, account)
		if p := g.by[peer]; p != nil {
			p.wrong = max(p.wrong-1, 0)
		}
	}, 0
}

func (g *guesses) of(key string, now time.Time) *guesser {
	one := g.by[key]
	if one == nil {
		if len(g.by) >= maxGuessers {
			g.forget(now)
		}
		one = &guesser{last: now}
		g.by[key] = one
	}
	if gone := now.Sub(one.last); gone > 0 {
		one.wrong, one.last = max(one.wrong-float64(gone)/float64(forgiveAfter), 0), now
	}
	return one
}

// forget makes room: it drops all that are forgiven, and the one that was quiet longest.
func (g *guesses) forget(now time.Time) {
	oldest, since := "", now
	for key, one := range g.by {
		if one.wrong <= float64(now.Sub(one.last))/float64(forgiveAfter) {
			delete(g.by, key)
		} else if one.last.Before(since) {
			oldest, since = key, one.last
		}
	}
	delete(g.by, oldest)
}

func tooManyGuesses(c echo.Context, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(seconds))
	return httpapi.NewProblem(http.StatusTooManyRequests, "too_many_attempts", "too many wrong passwords from this address: wait %d s", seconds)
}
