// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	kernel "github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
)

// ErrKernel is wrapped by the error of [Kernel] on a kernel that lacks what nothing stands in for.
var ErrKernel = errors.New("this kernel is too old for the datapath")

// LeastKernel is what has every feature that there is no fallback for, and is tested.
const LeastKernel = "6.1"

// Names of the features that other code asks for.
const (
	TCX        = "tcx"
	DecapL3    = "decap_l3"
	DecapL4UDP = "decap_l4_udp"
)

// feature is one that the datapath wants, and how to find out whether it is there.
type feature struct {
	name, least, use, fallback string
	have                       func() (bool, error)
}

// wanted lists everything that is younger than eBPF itself.
func wanted() []feature {
	return []feature{
		{"isa_v3", "5.1", "instructions that the programs are compiled to", "", is(kernel.HaveV3ISA)},
		{"large_programs", "5.2", "programs of more than 4096 instructions", "", is(kernel.HaveLargeInstructions)},
		{"batch_lookup", "5.6", "reading maps of many entries", "", haveBatch},
		{"csum_level", "5.7", "keeping the receive checksum", "", helper(asm.FnCsumLevel)},
		{"encapsulation", "5.8", "tunnel headers around segmented packets", "",
			room(RoomEncapIPv4 | RoomEncapIPv6 | RoomEncapUDP | RoomFixedGSO | RoomNoCsumReset)},
		{"ring_buffer", "5.8", "hello packets and traces", "", is(func() error { return kernel.HaveMapType(ebpf.RingBuf) })},
		{"redirect_peer", "5.10", "delivery straight into a container's namespace", "", helper(asm.FnRedirectPeer)},
		{"redirect_neigh", "5.10", "sending to other workers past the host's stack", "", helper(asm.FnRedirectNeigh)},
		{"coarse_clock", "5.11", "the time of each packet at little cost", "", helper(asm.FnKtimeGetCoarseNs)},
		{"loop", "5.17", "choosing among a service's instances", "", helper(asm.FnLoop)},
		{DecapL3, "6.3", "taking off a tunnel header of the other family", "bpf_skb_change_proto tells the kernel what is inside",
			room(RoomDecapIPv4 | RoomDecapIPv6)},
		{TCX, "6.6", "links that are pinned and updated atomically", "clsact filters; a person's `tc filter del` takes them off",
			haveTCX},
		{DecapL4UDP, "", "UDP with segmentation offload through the tunnel", "tx-udp-segmentation is off inside containers",
			room(RoomDecapUDP)},
	}
}

// Kernel finds out about every feature that the datapath wants of the running kernel; without names those that are to be done without
// although the kernel may have them. Its error wraps [ErrKernel] and names what is missing and has no fallback; any other one says that a
// question could not be asked, such as for want of a capability. The record is whole in the first case, and ends early in the second.
func Kernel(without ...string) (features.Record, error) { return probe(wanted(), without...) }

// probe is [Kernel] for a list of features.
func probe(all []feature, without ...string) (features.Record, error) {
	r := features.Record{Kernel: kernelRelease(), Probed: time.Now().UTC().Round(time.Second)}
	var missing []string
	for _, f := range all {
		found, err := f.have()
		if err != nil {
			return r, fmt.Errorf("probe kernel for %s (%s): %w", f.name, f.use, err)
		}
		used := found
		for _, name := range without {
			used = used && name != f.name
		}
		if !found && f.fallback == "" {
			missing = append(missing, fmt.Sprintf("%s (Linux %s: %s)", f.name, f.least, f.use))
		}
		r.Features = append(r.Features, features.Feature{
			Name: f.name, Least: f.least, Use: f.use, Found: found, Used: used, Fallback: f.fallback,
		})
	}
	if len(missing) > 0 {
		return r, fmt.Errorf("%w: Linux %s lacks %s: boot Linux %s or newer",
			ErrKernel, r.Kernel, strings.Join(missing, ", "), LeastKernel)
	}
	return r, nil
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// is turns a probe of the library into one of ours.
func is(have func() error) func() (bool, error) {
	return func() (bool, error) {
		err := have()
		if errors.Is(err, ebpf.ErrNotSupported) {
			return false, nil
		}
		return err == nil, err
	}
}

func helper(fn asm.BuiltinFunc) func() (bool, error) {
	return is(func() error { return kernel.HaveProgramHelper(ebpf.SchedCLS, fn) })
}

// haveBatch reports whether maps can be read many entries at a time.
func haveBatch() (bool, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return false, err
	}
	defer m.Close()
	_, err = m.BatchLookup(&ebpf.MapBatchCursor{}, make([]uint32, 1), make([]uint32, 1), nil)
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return false, nil
	case errors.Is(err, ebpf.ErrKeyNotExist): // as it should be of an empty one
		return true, nil
	}
	return err == nil, err
}

// room reports whether bpf_skb_adjust_room takes these flags.
func room(flags int32) func() (bool, error) {
	return func() (bool, error) { return HaveRoom(flags) }
}

// probeIfindex is the number of an interface that does not exist.
const probeIfindex = math.MaxInt32

// haveTCX reports whether the kernel has tcx links. There is no program type of their own to probe for, so the one other thing
// that came with the same version is: a link to no interface is refused as such, not as an unknown kind.
func haveTCX() (bool, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return false, err
	}
	defer prog.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: probeIfindex, Program: prog, Attach: ebpf.AttachTCXIngress})
	if err == nil {
		_ = l.Close()
	}
	return !errors.Is(err, ebpf.ErrNotSupported), nil
}
