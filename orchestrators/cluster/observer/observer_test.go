// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/hello"
)

const workerID = "aaaaaaaaaaaaaaaaaaaaaaaa"

// asker is a worker that asks an observer.
type asker struct {
	id, observer [12]byte
	key          []byte
	private      *ecdh.PrivateKey
}

func parse(t *testing.T, id string) (out [12]byte) {
	t.Helper()
	b, err := hex.DecodeString(id)
	require.NoError(t, err)
	require.Equal(t, len(out), copy(out[:], b))
	return out
}

func newAsker(t *testing.T) (*asker, *Observer) {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	o, err := New(func(worker string) []byte {
		if worker == workerID {
			return private.PublicKey().Bytes()
		}
		return nil
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	w := o.Wire(1, 0)
	a := &asker{id: parse(t, workerID), observer: parse(t, w.ID), private: private}
	a.key, err = hello.PairKey(private, w.PublicKey, a.id, a.observer)
	require.NoError(t, err)
	return a, o
}

func (a *asker) question(sequence uint64) hello.Hello {
	return hello.Hello{WantsAnswer: true, Sender: a.id, Receiver: a.observer, At: hello.Position{Start: 1, Sequence: sequence}}
}

func (a *asker) read(t *testing.T, answer []byte) hello.Hello {
	t.Helper()
	signed, err := hello.Untunneled(answer)
	require.NoError(t, err)
	require.True(t, hello.Genuine(signed, a.key))
	h, err := hello.Decode(signed)
	require.NoError(t, err)
	return h
}

var seen = netip.MustParseAddrPort("198.51.100.1:40001")

func TestAWorkerLearnsWhereItIsSeen(t *testing.T) {
	a, o := newAsker(t)
	q := a.question(1)
	datagram := hello.Tunneled(q.Encode(a.key))
	answer := o.answer(datagram, seen, time.Now())
	require.Len(t, answer, len(datagram), "an answer of another length than its question amplifies")
	h := a.read(t, answer)
	require.Equal(t, seen, h.Observed)
	require.Equal(t, q.At, h.Quoted)
	require.Equal(t, a.id, h.Receiver)
	require.False(t, h.WantsAnswer)

	again := a.read(t, o.answer(hello.Tunneled(a.question(2).Encode(a.key)), seen, time.Now()))
	require.True(t, again.At.After(h.At))
}

func TestWhatIsNotAnswered(t *testing.T) {
	a, o := newAsker(t)
	require.NotNil(t, o.answer(hello.Tunneled(a.question(5).Encode(a.key)), seen, time.Now()))
	change := func(f func(*hello.Hello)) []byte {
		q := a.question(6)
		f(&q)
		return hello.Tunneled(q.Encode(a.key))
	}
	for name, datagram := range map[string][]byte{
		"empty":          nil,
		"no tunnel":      a.question(6).Encode(a.key),
		"cut short":      hello.Tunneled(a.question(6).Encode(a.key))[:100],
		"forged":         hello.Tunneled(a.question(6).Encode([]byte("guess"))),
		"replayed":       hello.Tunneled(a.question(5).Encode(a.key)),
		"no question":    change(func(h *hello.Hello) { h.WantsAnswer = false }),
		"to another":     change(func(h *hello.Hello) { h.Receiver[0]++ }),
		"unknown worker": change(func(h *hello.Hello) { h.Sender[0]++ }),
	} {
		require.Nil(t, o.answer(datagram, seen, time.Now()), name)
	}
	require.Len(t, o.workers, 1, "memory is kept of who is unknown")
}

func TestAWorkerWithANewKeyIsAnewOne(t *testing.T) {
	a, o := newAsker(t)
	require.NotNil(t, o.answer(hello.Tunneled(a.question(5).Encode(a.key)), seen, time.Now()))
	fresh, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	o.publicKey = func(string) []byte { return fresh.PublicKey().Bytes() }
	require.Nil(t, o.answer(hello.Tunneled(a.question(6).Encode(a.key)), seen, time.Now()), "the old key still counts")
	a.key, err = hello.PairKey(fresh, o.Wire(1, 0).PublicKey, a.id, a.observer)
	require.NoError(t, err)
	require.NotNil(t, o.answer(hello.Tunneled(a.question(1).Encode(a.key)), seen, time.Now()))

	o.publicKey = func(string) []byte { return nil }
	require.Nil(t, o.answer(hello.Tunneled(a.question(2).Encode(a.key)), seen, time.Now()))
	require.Empty(t, o.workers)
}

func TestAnswersAreLimited(t *testing.T) {
	a, o := newAsker(t)
	answered, now := 0, time.Now()
	for i := range uint64(10 * answerBurst) {
		if o.answer(hello.Tunneled(a.question(i+1).Encode(a.key)), seen, now) != nil {
			answered++
		}
	}
	require.Equal(t, answerBurst, answered)
}

// TestTheAddressThatWasAskedAnswers: a host with several addresses answers from the one that was asked, in either family.
func TestTheAddressThatWasAskedAnswers(t *testing.T) {
	for name, c := range map[string]struct{ listen, ask string }{
		"all addresses, IPv4": {":0", "127.0.0.3"},
		"all addresses, IPv6": {":0", "::1"},
		"IPv4 alone":          {"0.0.0.0:0", "127.0.0.3"},
		"one address":         {"127.0.0.3:0", "127.0.0.3"},
	} {
		t.Run(name, func(t *testing.T) {
			a, o := newAsker(t)
			addr, err := net.ResolveUDPAddr("udp", c.listen)
			require.NoError(t, err)
			conn, err := net.ListenUDP("udp", addr)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- o.Serve(ctx, conn) }()
			t.Cleanup(func() { cancel(); require.NoError(t, <-done) })

			port := conn.LocalAddr().(*net.UDPAddr).Port
			// Connected: an answer from another address than the one asked would not arrive.
			client, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(c.ask), Port: port})
			require.NoError(t, err)
			defer func() { _ = client.Close() }()
			require.NoError(t, client.SetDeadline(time.Now().Add(5*time.Second)))
			for i, junk := range [][]byte{nil, {1}, make([]byte, 2000)} {
				_, err := client.Write(junk)
				require.NoError(t, err, i)
			}
			_, err = client.Write(hello.Tunneled(a.question(1).Encode(a.key)))
			require.NoError(t, err)
			buf := make([]byte, 2000)
			n, err := client.Read(buf)
			require.NoError(t, err)
			require.Equal(t, client.LocalAddr().(*net.UDPAddr).AddrPort(), a.read(t, buf[:n]).Observed)
		})
	}
}
