// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Flags of bpf_skb_adjust_room, to probe for by value: the headers of the machine that builds may not have them yet.
const (
	RoomFixedGSO    = 1 << 0
	RoomEncapIPv4   = 1 << 1
	RoomEncapIPv6   = 1 << 2
	RoomEncapUDP    = 1 << 4
	RoomNoCsumReset = 1 << 5
	RoomDecapIPv4   = 1 << 7
	RoomDecapIPv6   = 1 << 8
	RoomDecapUDP    = 1 << 10
)

// HaveRoom reports whether the kernel's bpf_skb_adjust_room takes these flags. It judges flags first and then how much room is asked
// for: 4 KiB is too much for any kernel, so that no packet has to be made up that would suit.
func HaveRoom(flags int32) (bool, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, 0x1000),
			asm.Mov.Imm(asm.R3, 1), // BPF_ADJ_ROOM_MAC
			asm.Mov.Imm(asm.R4, flags),
			asm.FnSkbAdjustRoom.Call(),
			asm.Neg.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	if err != nil {
		return false, fmt.Errorf("load a program that probes bpf_skb_adjust_room: %w", err)
	}
	defer prog.Close()
	errno, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil {
		return false, fmt.Errorf("run a program that probes bpf_skb_adjust_room: %w", err)
	}
	switch unix.Errno(errno) {
	case unix.EFAULT:
		return true, nil
	case unix.EINVAL:
		return false, nil
	}
	return false, fmt.Errorf("bpf_skb_adjust_room answered %w", unix.Errno(errno))
}
