// SPDX-License-Identifier: Apache-2.0

package peer

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
		at := rapid.Custom(func(t *rapid.T) position {
			return position{rapid.Uint64().Draw(t, "start"), rapid.Uint64().Draw(t, "sequence")}
		})
		where := rapid.Custom(func(t *rapid.T) netip.AddrPort {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], rapid.Uint32Min(1).Draw(t, "address"))
			return netip.AddrPortFrom(netip.AddrFrom4(a), rapid.Uint16().Draw(t, "port"))
		})
		in := hello{
			wantsAnswer: rapid.Bool().Draw(t, "ask"),
			sender:      id.Draw(t, "sender"), receiver: id.Draw(t, "receiver"),
			at: at.Draw(t, "at"), quoted: at.Draw(t, "quoted"),
			own: where.Draw(t, "own"), observed: where.Draw(t, "observed"),
			mtu: rapid.Uint16().Draw(t, "mtu"),
		}
		b := in.encode(key)
		out, err := decodeHello(b)
		require.NoError(t, err)
		require.Equal(t, in, out)
		require.True(t, genuine(b, key))

		b[rapid.IntRange(0, len(b)-1).Draw(t, "broken byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		require.False(t, genuine(b, key), "a changed bit goes unnoticed")
	})
}

func TestHelloFitsTheRingBuffer(t *testing.T) {
	require.LessOrEqual(t, helloLen, 256)
	require.Len(t, hello{}.encode(nil), helloLen)
}

func TestPairKeyIsTheSameOnBothSides(t *testing.T) {
	a, b, other := newKey(t), newKey(t), newKey(t)
	idA, idB := [12]byte{1}, [12]byte{2}
	ab, err := pairKey(a, b.PublicKey().Bytes(), idA, idB)
	require.NoError(t, err)
	ba, err := pairKey(b, a.PublicKey().Bytes(), idB, idA)
	require.NoError(t, err)
	require.Equal(t, ab, ba)

	stranger, err := pairKey(other, b.PublicKey().Bytes(), idA, idB)
	require.NoError(t, err)
	require.NotEqual(t, ab, stranger)
	otherIDs, err := pairKey(a, b.PublicKey().Bytes(), idA, [12]byte{3})
	require.NoError(t, err)
	require.NotEqual(t, ab, otherIDs)

	for name, public := range map[string][]byte{"empty": nil, "short": {1, 2}, "low order": make([]byte, 32)} {
		_, err := pairKey(a, public, idA, idB)
		require.Error(t, err, name)
	}
}

func TestPositionOrdersByStartFirst(t *testing.T) {
	require.True(t, position{2, 1}.after(position{1, 9}))
	require.True(t, position{2, 2}.after(position{2, 1}))
	require.False(t, position{2, 1}.after(position{2, 1}))
	require.False(t, position{1, 9}.after(position{2, 1}))
}

func FuzzDecodeHello(f *testing.F) {
	f.Add([]byte{})
	f.Add(hello{}.encode([]byte("k")))
	f.Add(hello{own: netip.MustParseAddrPort("10.0.0.1:50103"), wantsAnswer: true}.encode([]byte("k")))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err != nil {
			return
		}
		again, err := decodeHello(h.encode([]byte("k")))
		require.NoError(t, err)
		require.Equal(t, h, again)
	})
}
