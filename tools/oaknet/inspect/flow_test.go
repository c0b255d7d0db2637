// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

func TestFlowState(t *testing.T) {
	const syn, ack, fin, rst = bpf.SeenSYN, bpf.SeenACK, bpf.SeenFIN, bpf.SeenRST
	for _, c := range []struct {
		name        string
		proto       uint8
		forward     uint8
		reply       uint8
		established bool
		replies     uint64
		want        string
	}{
		{"opened", unix.IPPROTO_TCP, syn, 0, false, 0, "syn-sent"},
		{"answered", unix.IPPROTO_TCP, syn, syn | ack, false, 1, "syn-received"},
		{"acknowledged", unix.IPPROTO_TCP, syn | ack, syn | ack, true, 1, "established"},
		{"opener ends", unix.IPPROTO_TCP, syn | ack | fin, syn | ack, true, 1, "closing"},
		{"other ends", unix.IPPROTO_TCP, syn | ack, syn | ack | fin, true, 1, "closing"},
		{"both end", unix.IPPROTO_TCP, syn | ack | fin, syn | ack | fin, false, 1, "closed"},
		{"refused", unix.IPPROTO_TCP, syn, rst | ack, false, 1, "closed"},
		{"datagram", unix.IPPROTO_UDP, 0, 0, false, 0, "new"},
		{"answered datagram", unix.IPPROTO_UDP, 0, 0, true, 1, "assured"},
		{"echo", unix.IPPROTO_ICMP, 0, 0, false, 0, "new"},
		{"answered echo", unix.IPPROTO_ICMP, 0, 0, false, 1, "assured"},
	} {
		var flags uint16
		if c.established {
			flags = bpf.FlowEstablished
		}
		got := flowState(c.proto, bpf.Flow{Seen: c.forward, Flags: flags}, bpf.Flow{Seen: c.reply, Flags: flags, Packets: c.replies})
		assert.Equal(t, c.want, got, c.name)
	}
}
