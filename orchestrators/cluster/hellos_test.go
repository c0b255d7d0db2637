// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/hex"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestWorkersLearnWhereTheyAreSeen: each worker's configuration says who answers hellos, before a restart of the cluster and after.
func TestWorkersLearnWhereTheyAreSeen(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	first := asksWhereItIsSeen(t, w, "")
	b.halt()
	b.start()
	asksWhereItIsSeen(t, w, first)
}

// asksWhereItIsSeen returns the id of the observer, which is not the one before.
func asksWhereItIsSeen(t *testing.T, w *scriptedWorker, before string) string {
	t.Helper()
	var o wire.NetObserver
	eventually(t, "an observer is configured", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.node.Observer != nil {
			o = *w.node.Observer
		}
		return o.ID != before
	})
	require.NotEqual(t, o.Port, o.OtherPort)
	h := hello.Hello{WantsAnswer: true}
	for _, port := range []uint16{o.Port, o.OtherPort} {
		h = asksAt(t, w, o, port, h)
	}
	return o.ID
}

// asksAt returns the last question that was answered, after which the next one has to be.
func asksAt(t *testing.T, w *scriptedWorker, o wire.NetObserver, port uint16, h hello.Hello) hello.Hello {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	id := func(text string) [12]byte {
		raw, err := hex.DecodeString(text)
		require.NoError(t, err)
		return [12]byte(raw)
	}
	h.Sender, h.Receiver = id(w.id), id(o.ID)
	key, err := hello.PairKey(w.overlay, o.PublicKey, h.Sender, h.Receiver)
	require.NoError(t, err)
	var answer hello.Hello
	eventually(t, "an answer", func() bool { // none until the worker has told its key
		h.At.Sequence++
		_, err := conn.Write(hello.Tunneled(h.Encode(key)))
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		buf := make([]byte, 1000)
		n, err := conn.Read(buf)
		if err != nil {
			return false
		}
		signed, err := hello.Untunneled(buf[:n])
		require.NoError(t, err)
		require.True(t, hello.Genuine(signed, key))
		answer, err = hello.Decode(signed)
		require.NoError(t, err)
		return answer.Quoted == h.At
	})
	require.Equal(t, conn.LocalAddr().(*net.UDPAddr).AddrPort(), answer.Observed)
	return h
}
