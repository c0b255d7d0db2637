// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// What the verifier of Linux 6.1 grants a chain of calls, in bytes, and what it takes each function to need at least and in steps of. Younger
// ones grant more: without this test the programs would be seen to be refused there alone.
const (
	stackLimit = 512
	stackStep  = 32
)

// TestStackFitsOldKernels adds up what the functions of each program take of the stack, along the deepest chain of calls.
func TestStackFitsOldKernels(t *testing.T) {
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){
		"container": loadContainer, "uplink": loadUplink, "upcall": loadUpcall, "guard": loadGuard, "xdp": loadXdp,
	} {
		spec, err := load()
		must(t, err)
		for entry, p := range spec.Programs {
			depth, chain := stacksOf(p.Instructions).deepest(entry)
			t.Logf("%s: %3d bytes: %v", name, depth, chain)
			if depth > stackLimit {
				t.Errorf("%s: the chain of calls %v takes %d bytes of the stack, want at most %d", name, chain, depth, stackLimit)
			}
		}
	}
}

// stack is what a function takes of it, and whom it calls.
type stack struct {
	bytes int
	calls map[string]bool
}

type stacks map[string]*stack

func stacksOf(code asm.Instructions) stacks {
	all := stacks{}
	var f *stack
	var before asm.Instruction
	for _, ins := range code {
		if name := ins.Symbol(); name != "" {
			f = &stack{calls: map[string]bool{}}
			all[name] = f
		}
		class := ins.OpCode.Class()
		switch {
		case ins.IsFunctionCall(), ins.IsLoadOfFunctionPointer():
			f.calls[ins.Reference()] = true
		case class == asm.LdXClass && ins.Src == asm.R10, (class == asm.StXClass || class == asm.StClass) && ins.Dst == asm.R10:
			f.bytes = max(f.bytes, -int(ins.Offset))
		case before.OpCode.ALUOp() == asm.Mov && before.Src == asm.R10 && ins.OpCode.ALUOp() == asm.Add && ins.Dst == before.Dst:
			f.bytes = max(f.bytes, -int(ins.Constant))
		}
		before = ins
	}
	return all
}

func (s stacks) deepest(name string) (bytes int, chain []string) {
	f := s[name]
	for callee := range f.calls {
		if n, c := s.deepest(callee); n > bytes {
			bytes, chain = n, c
		}
	}
	steps := max(1, (f.bytes+stackStep-1)/stackStep)
	return bytes + steps*stackStep, append([]string{name}, chain...)
}
