// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Answers to one worker a second, and at once: it asks every few seconds, and some times in a row while it gets no answer.
const (
	answerRate  = 20
	answerBurst = 40
)

// start is the start counter in answers. It never rises, since key and id are new with each process.
const start = 1

// Observer answers hellos. Its methods may be called from several goroutines.
type Observer struct {
	id        [12]byte
	key       *ecdh.PrivateKey
	publicKey func(worker string) []byte
	log       *slog.Logger

	mu      sync.Mutex
	workers map[[12]byte]*worker // known ones that have asked
}

// worker is one that has asked.
type worker struct {
	public   []byte
	key      []byte // of the pair
	accepted hello.Position
	sequence uint64
	answers  *rate.Limiter
}

// New returns an observer with an id and a key of its own. publicKey tells that of a worker's NetManager, or nil if the worker or
// its key is unknown.
func New(publicKey func(worker string) []byte, log *slog.Logger) (*Observer, error) {
	o := &Observer{publicKey: publicKey, log: log, workers: map[[12]byte]*worker{}}
	var err error
	if o.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("make the observer's key: %w", err)
	}
	if _, err := rand.Read(o.id[:]); err != nil {
		return nil, fmt.Errorf("make the observer's id: %w", err)
	}
	return o, nil
}

// Wire is what workers have to know, with the ports at which it is served, of which the other one may be 0.
func (o *Observer) Wire(port, other uint16) *wire.NetObserver {
	return &wire.NetObserver{ID: hex.EncodeToString(o.id[:]), PublicKey: o.key.PublicKey().Bytes(), Port: port, OtherPort: other}
}

// answer returns what to send back to where a datagram came from, nil if nothing.
func (o *Observer) answer(datagram []byte, from netip.AddrPort, now time.Time) []byte {
	signed, err := hello.Untunneled(datagram)
	if err != nil {
		return nil
	}
	h, err := hello.Decode(signed)
	if err != nil || !h.WantsAnswer || h.Receiver != o.id {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.worker(h.Sender)
	if w == nil || !hello.Genuine(signed, w.key) || !h.At.After(w.accepted) || !w.answers.AllowN(now, 1) {
		return nil
	}
	w.accepted = h.At
	w.sequence++
	return hello.Tunneled(hello.Hello{
		Sender: o.id, Receiver: h.Sender,
		At:     hello.Position{Start: start, Sequence: w.sequence},
		Quoted: h.At, Observed: from,
	}.Encode(w.key))
}

// worker returns what is kept of a worker, nil if it is unknown. mu is held.
func (o *Observer) worker(id [12]byte) *worker {
	name := hex.EncodeToString(id[:])
	public := o.publicKey(name)
	w := o.workers[id]
	switch {
	case public == nil:
		delete(o.workers, id)
		return nil
	case w != nil && bytes.Equal(w.public, public):
		return w
	}
	key, err := hello.PairKey(o.key, public, o.id, id)
	if err != nil {
		o.log.Debug("cannot answer a worker's hello", "worker", name, "error", err)
		return nil
	}
	w = &worker{public: bytes.Clone(public), key: key, answers: rate.NewLimiter(answerRate, answerBurst)}
	o.workers[id] = w
	return w
}
