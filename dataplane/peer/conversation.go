// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// Answers to one other side a second, and at once: a greeting needs two, an attacker that replays cannot get more.
const (
	answerRate  = 20
	answerBurst = 40
)

// challengeLife is how long an answer may take.
const challengeLife = 5 * time.Second

// When somebody is greeted.
const (
	firstRetry   = 10 * time.Millisecond // doubled each time …
	lastRetry    = time.Second           // … up to this, and again for ever
	refreshEvery = 15 * time.Second      // once it has answered
	betterEvery  = time.Second           // and another way may be better, at first
	// refreshNATEvery is the same if there is a NAT in between, which forgets who says nothing and may give another port whenever it
	// likes. Only what comes out of it shows that port, and who waits for it shall have it within 5 s: that leaves time for ways of some
	// hundred milliseconds, and for the cluster to pass it on where the other side is behind a NAT too.
	refreshNATEvery = 3 * time.Second
)

// conversation is the exchange of hellos with one other side.
type conversation struct {
	id     [12]byte
	public []byte
	key    []byte // of the pair; nil until the public key is known

	// accepted is the highest position that was accepted from it, by family: one of the two ways is the faster one, and would have
	// what comes by the other be overtaken always.
	accepted [2]hello.Position
	sequence uint64 // of our latest hello to it
	asked    [32]challenge
	answers  *rate.Limiter

	next    time.Time // when to greet again
	attempt int       // greetings since its last answer

	// seen is where it sees this worker, by its last answer in each family.
	seen [2]view
}

// family is the place of an address's family in arrays of two.
func family(a netip.Addr) int {
	if a.Is4() {
		return bpf.V4
	}
	return bpf.V6
}

// newConversation returns one that goes on after a sequence: the other side may remember how far an earlier one had come, and takes what
// is not beyond that for a replay.
func newConversation(id [12]byte, after uint64) conversation {
	return conversation{id: id, sequence: after, answers: rate.NewLimiter(answerRate, answerBurst)}
}

// end remembers how far a conversation has come that is to be forgotten.
func (g *Greeter) end(c *conversation) { g.ended = max(g.ended, c.sequence) }

// challenge is a hello of ours that an answer may quote.
type challenge struct {
	sequence uint64
	to       netip.AddrPort
	at       time.Time
}

func (c *conversation) remember(to netip.AddrPort, now time.Time) {
	c.asked[c.sequence%uint64(len(c.asked))] = challenge{c.sequence, to, now}
}

// answeredBy reports whether a hello from an address quotes a recent one of ours that went to that very address.
func (c *conversation) answeredBy(sequence uint64, from netip.AddrPort, now time.Time) bool {
	q := c.asked[sequence%uint64(len(c.asked))]
	return sequence != 0 && q.sequence == sequence && q.to == from && now.Sub(q.at) <= challengeLife
}

func (c *conversation) greetNow() {
	c.next = time.Time{}
	c.attempt = 0
}

// settle has it greeted again after an interval, since it has answered.
func (c *conversation) settle(interval time.Duration, now time.Time) {
	c.attempt = 0
	c.next = now.Add(jitter(interval))
}

// retryAfter is the wait after the nth greeting without an answer.
func retryAfter(attempt int) time.Duration {
	wait := lastRetry
	if attempt < 8 { // 10 ms << 7 is more than a second
		wait = min(firstRetry<<max(attempt-1, 0), lastRetry)
	}
	if wait == lastRetry {
		return jitter(wait)
	}
	return wait
}

// jitter spreads a wait by a tenth to either side, so that workers that started together do not stay together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5)
}
