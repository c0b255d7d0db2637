// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// How often resets are sent to those flows of which the programs have not got theirs, and how long is waited where their queue is full.
const (
	resetPasses  = 3
	resetRetries = 20
	resetPause   = time.Millisecond
)

// resetter sends resets to the programs on oak-up0, which pass each along its flow, as if the other end had sent it.
type resetter struct{ fd int }

// openResetter opens a socket that only sends, on oak-up1.
func openResetter(ifindex int) (*resetter, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for resets (needs CAP_NET_RAW): %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind the packet socket for resets to interface %d: %w", ifindex, err)
	}
	return &resetter{fd}, nil
}

func (r *resetter) close() {
	if r != nil {
		_ = unix.Close(r.fd)
	}
}

func (r *resetter) send(frame []byte) error {
	var err error
	for range resetRetries {
		if _, err = unix.Write(r.fd, frame); err == nil || !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EAGAIN) {
			break
		}
		time.Sleep(resetPause)
	}
	if err != nil {
		return os.NewSyscallError("send a reset", err)
	}
	return nil
}

// resetAlong is the frame that has the programs reset the receiver of a direction of a flow, who waits for the number next.
func resetAlong(key bpf.FlowKey, next uint32) []byte {
	const rst, along = 4, 0xfe
	src, dst := key.Src.Netip(), key.Dst.Netip()
	tcp := make([]byte, 20)
	binary.NativeEndian.PutUint16(tcp[0:], key.Sport) // in network order already, as is next
	binary.NativeEndian.PutUint16(tcp[2:], key.Dport)
	binary.NativeEndian.PutUint32(tcp[4:], next)
	tcp[12], tcp[13] = 5<<4, rst
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo(src, dst, unix.IPPROTO_TCP, len(tcp)), tcp))
	frame := []byte{2, 0x6f, along, byte(key.From >> 16), byte(key.From >> 8), byte(key.From), 2, 0x6f, 0x61, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IP)
	if src.Is6() {
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IPV6)
	}
	return append(frame, ip(unix.IPPROTO_TCP, src, dst, tcp)...)
}

// ResetBackends ends the TCP flows that this worker gave to instances that are gone: both ends are reset. Other flows find another instance at
// their next packet.
func (d *Datapath) ResetBackends(owners ...bpf.Owner) error {
	gone := make(map[bpf.Owner]bool, len(owners))
	for _, o := range owners {
		gone[o] = true
	}
	return d.reset(func(_ bpf.FlowKey, f bpf.Flow) bool {
		return f.Backend != 0 && gone[bpf.Owner{Backend: f.Backend, Slot: f.Generation}]
	}, false)
}

// PurgeEndpoint ends every flow to or from the namespace addresses of an endpoint that is gone: both ends of TCP flows are reset, others are
// forgotten.
func (d *Datapath) PurgeEndpoint(addrs ...netip.Addr) error {
	gone := make(map[bpf.Addr]bool, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			gone[bpf.AddrFrom(a)] = true
		}
	}
	return d.reset(func(k bpf.FlowKey, f bpf.Flow) bool {
		return gone[k.Src] || gone[k.Dst] || gone[f.Src] || gone[f.Dst]
	}, true)
}

// reset ends the flows of which one direction matches. What cannot be reset is forgotten if forget says so.
func (d *Datapath) reset(match func(bpf.FlowKey, bpf.Flow) bool, forget bool) error {
	var errs []error
	table := d.maps.Flows()
	for pass := range resetPasses {
		var err error
		left := map[bpf.FlowKey]bpf.Flow{}
		for key, flow := range table.All(&err) {
			if match(key, flow) && flow.Flags&bpf.FlowDead == 0 {
				left[key] = flow
			}
		}
		errs = append(errs, err)
		if len(left) == 0 {
			break
		}
		for key, flow := range left {
			rkey := key.Reverse(flow)
			reverse, ok := left[rkey]
			if !ok {
				var err error
				if reverse, ok, err = table.Lookup(rkey); err != nil {
					errs = append(errs, err)
				}
			}
			// Both have acknowledged something: else there is no number that either would believe. A caller that is still waiting
			// for an answer tries again, and finds another instance.
			known := ok && key.Proto == unix.IPPROTO_TCP && flow.Seen&reverse.Seen&bpf.SeenACK != 0 && flow.Flags&bpf.FlowClosed == 0
			if d.resets != nil && known && pass < resetPasses-1 {
				if err := errors.Join(d.resets.send(resetAlong(key, reverse.LastAck)), d.resets.send(resetAlong(rkey, flow.LastAck))); err == nil {
					delete(left, rkey)
					continue
				}
			}
			if forget {
				errs = append(errs, table.Delete(key), table.Delete(rkey))
			}
		}
	}
	return errors.Join(errs...)
}
