// SPDX-License-Identifier: Apache-2.0

package hello

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNoticeSurvivesEncoding(t *testing.T) {
	key := []byte("k")
	rapid.Check(t, func(t *rapid.T) {
		in := Notice{
			Sender: [12]byte{1, 2}, Receiver: [12]byte{11: 3},
			At:      Position{rapid.Uint64().Draw(t, "start"), rapid.Uint64().Draw(t, "sequence")},
			Address: netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))).Unmap(),
			Tag:     rapid.Uint32().Draw(t, "tag"),
		}
		b := in.Encode(key)
		require.True(t, IsNotice(b))
		out, err := DecodeNotice(b)
		require.NoError(t, err)
		require.Equal(t, in, out)
		require.True(t, GenuineNotice(b, key))
		b[rapid.IntRange(0, len(b)-1).Draw(t, "broken byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		require.False(t, GenuineNotice(b, key), "a changed bit goes unnoticed")
	})
}

// TestANoticeIsNoHello: what was signed as one cannot be taken for the other.
func TestANoticeIsNoHello(t *testing.T) {
	key := []byte("k")
	notice, hello := Notice{}.Encode(key), Hello{}.Encode(key)
	require.False(t, IsNotice(hello))
	require.False(t, IsNotice(nil))
	_, err := Decode(notice)
	require.Error(t, err)
	_, err = DecodeNotice(hello)
	require.Error(t, err)
	require.False(t, Genuine(notice, key))
	require.False(t, GenuineNotice(hello, key))
}

func FuzzDecodeNotice(f *testing.F) {
	f.Add([]byte{})
	f.Add(Notice{Address: netip.MustParseAddr("10.18.0.2"), Tag: 7}.Encode([]byte("k")))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := DecodeNotice(b)
		if err != nil {
			return
		}
		again, err := DecodeNotice(n.Encode([]byte("k")))
		require.NoError(t, err)
		require.Equal(t, n, again)
	})
}
