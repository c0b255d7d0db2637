// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"math/rand/v2"
	"time"
)

// Kind is how a hollow worker behaves.
type Kind string

// The kinds of hollow workers.
const (
	// Steady workers do what a healthy one does.
	Steady Kind = "steady"
	// Slow ones take ten times as long to create a container and a while to hear what is wanted of them.
	Slow Kind = "slow"
	// Flapping ones lose their connections without a word, and are back soon.
	Flapping Kind = "flapping"
	// Crashing ones have containers that end by themselves and are started again.
	Crashing Kind = "crashing"
	// Dying ones vanish without a word and never come back.
	Dying Kind = "dying"
)

// Kinds lists all kinds but [Steady], in a fixed order.
func Kinds() []Kind { return []Kind{Slow, Flapping, Crashing, Dying} }

// Behaviour is what a worker does of its own accord. All of it follows from the seed.
type Behaviour struct {
	Kind Kind
	// Seed decides all that is left to chance.
	Seed uint64
	// Create is how long it takes to create and start a container; [DefaultCreate] if zero.
	Create time.Duration
	// Every is the mean time between two losses of a flapping worker's connections, between two ends of a crashing one's
	// containers, and until a dying one dies; [DefaultEvery] if zero.
	Every time.Duration
}

// Defaults of a [Behaviour].
const (
	// DefaultCreate is what containerd takes for a container with its image present.
	DefaultCreate = 90 * time.Millisecond
	DefaultEvery  = time.Minute
)

// CrashPause is how long a container that ended by itself is down.
const CrashPause = 500 * time.Millisecond

// Times of what workers do.
const (
	slowFactor = 10
	slowHears  = 500 * time.Millisecond
	flapAway   = 2 * time.Second // mean time that a flapping worker stays away
	stopTakes  = 15 * time.Millisecond
)

// chance is a worker's source of chance. It is not safe for concurrent use.
type chance struct {
	b Behaviour
	r *rand.Rand
}

func newChance(b Behaviour) *chance {
	if b.Create <= 0 {
		b.Create = DefaultCreate
	}
	if b.Every <= 0 {
		b.Every = DefaultEvery
	}
	return &chance{b, rand.New(rand.NewPCG(b.Seed, 0x6f616b))}
}

// around returns a time of which d is the mean, from half of it to half as much again.
func (c *chance) around(d time.Duration) time.Duration {
	if d <= 1 {
		return d
	}
	return d/2 + time.Duration(c.r.Int64N(int64(d)))
}

func (c *chance) create() time.Duration {
	d := c.around(c.b.Create)
	if c.b.Kind == Slow {
		d *= slowFactor
	}
	return d
}

func (c *chance) hear() time.Duration {
	if c.b.Kind == Slow {
		return c.around(slowHears)
	}
	return 0
}

func (c *chance) tag() uint32 { return 1 + uint32(c.r.IntN(1<<24-1)) }

func (c *chance) bytes(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(c.r.Uint32())
	}
	return out
}
