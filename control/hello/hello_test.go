// SPDX-License-Identifier: Apache-2.0

package hello

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func newKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

func TestHelloSurvivesEncoding(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) (id [12]byte) {
			copy(id[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "id"))
			return id
		})
		at := rapid.Custom(func(t *rapid.T) Position {
			return Position{rapid.Uint64().Draw(t, "start"), rapid.Uint64().Draw(t, "sequence")}
		})
		where := rapid.Custom(func(t *rapid.T) netip.AddrPort {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], rapid.Uint32Min(1).Draw(t, "address"))
			return netip.AddrPortFrom(netip.AddrFrom4(a), rapid.Uint16().Draw(t, "port"))
		})
		in := Hello{
			WantsAnswer: rapid.Bool().Draw(t, "ask"),
			Sender:      id.Draw(t, "sender"), Receiver: id.Draw(t, "receiver"),
			At: at.Draw(t, "at"), Quoted: at.Draw(t, "quoted"),
			Own: where.Draw(t, "own"), Observed: where.Draw(t, "observed"),
			MTU: rapid.Uint16().Draw(t, "mtu"),
		}
		b := in.Encode(key)
		out, err := Decode(b)
		require.NoError(t, err)
		require.Equal(t, in, out)
		require.True(t, Genuine(b, key))

		b[rapid.IntRange(0, len(b)-1).Draw(t, "broken byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		require.False(t, Genuine(b, key), "a changed bit goes unnoticed")
	})
}

func TestAnswersAreNoLongerThanQuestions(t *testing.T) {
	require.LessOrEqual(t, Len, 256, "the ring buffer takes no longer ones")
	require.Len(t, Hello{}.Encode(nil), Len)
	require.Len(t, Hello{WantsAnswer: true, Met: true}.Encode(nil), Len)
}

func TestPairKeyIsTheSameOnBothSides(t *testing.T) {
	a, b, other := newKey(t), newKey(t), newKey(t)
	idA, idB := [12]byte{1}, [12]byte{2}
	ab, err := PairKey(a, b.PublicKey().Bytes(), idA, idB)
	require.NoError(t, err)
	ba, err := PairKey(b, a.PublicKey().Bytes(), idB, idA)
	require.NoError(t, err)
	require.Equal(t, ab, ba)

	stranger, err := PairKey(other, b.PublicKey().Bytes(), idA, idB)
	require.NoError(t, err)
	require.NotEqual(t, ab, stranger)
	otherIDs, err := PairKey(a, b.PublicKey().Bytes(), idA, [12]byte{3})
	require.NoError(t, err)
	require.NotEqual(t, ab, otherIDs)

	for name, public := range map[string][]byte{"empty": nil, "short": {1, 2}, "low order": make([]byte, 32)} {
		_, err := PairKey(a, public, idA, idB)
		require.Error(t, err, name)
	}
}

func TestPositionOrdersByStartFirst(t *testing.T) {
	require.True(t, Position{2, 1}.After(Position{1, 9}))
	require.True(t, Position{2, 2}.After(Position{2, 1}))
	require.False(t, Position{2, 1}.After(Position{2, 1}))
	require.False(t, Position{1, 9}.After(Position{2, 1}))
}

func TestTunneledAndBack(t *testing.T) {
	signed := Hello{}.Encode([]byte("k"))
	body := Tunneled(signed)
	require.Len(t, body, TunnelLen+Len)
	got, err := Untunneled(body)
	require.NoError(t, err)
	require.Equal(t, signed, got)
	for name, b := range map[string][]byte{"empty": nil, "short": body[:7], "another protocol": append([]byte{0x0c, 0, 0, 1}, body[4:]...)} {
		_, err := Untunneled(b)
		require.Error(t, err, name)
	}
}

func FuzzDecodeHello(f *testing.F) {
	f.Add([]byte{})
	f.Add(Hello{}.Encode([]byte("k")))
	f.Add(Hello{Own: netip.MustParseAddrPort("10.0.0.1:50103"), WantsAnswer: true}.Encode([]byte("k")))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(h.Encode([]byte("k")))
		require.NoError(t, err)
		require.Equal(t, h, again)
	})
}
