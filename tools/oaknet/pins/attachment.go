// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Attachment is one program on one interface.
type Attachment struct {
	// Kind says what the program is for: container, uplink_in, uplink_out, xdp, reinject, sink or guard.
	Kind string
	// Ifindex is the number of the interface in its own network namespace.
	Ifindex int
	// Interface is its name; empty where it is in another network namespace than this process.
	Interface string
	// Gone says that the interface is there no more; the link is left over.
	Gone bool
	// XDP is, of kind xdp, how the program runs: one of the words of package features; empty where the interface is not to be seen.
	XDP string
	// Program, Name and Tag are those of the program.
	Program uint32
	Name    string
	Tag     string
	// Loaded is when the program was loaded, since boot (CLOCK_BOOTTIME); 0 if the kernel does not tell.
	Loaded time.Duration
}

// egress is the one kind that hangs on an interface's way out.
const egress = "uplink_out"

func hook(kind string) ebpf.AttachType {
	if kind == egress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// card is the kind that has a link on every kernel.
const card = "xdp"

// Attachments lists the worker's programs by kind and interface: from its pinned links, or where the kernel has no tcx (before
// 6.6), from those of cards and the filters on the interfaces of this network namespace.
func (w Worker) Attachments() ([]Attachment, error) {
	entries, err := os.ReadDir(w.LinkDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list pinned links: %w", err)
	}
	out, err := w.links(entries)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(out, func(a Attachment) bool { return a.Kind != card }) {
		found, err := filters()
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, func(a, b Attachment) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Ifindex, b.Ifindex))
	})
	return out, nil
}

// attachedHere reports whether one of the pinned links is on an interface of this network namespace.
func (w Worker) attachedHere() bool {
	entries, err := os.ReadDir(w.LinkDir())
	if err != nil {
		return false
	}
	out, err := w.links(entries)
	return err == nil && slices.ContainsFunc(out, func(a Attachment) bool { return a.Interface != "" })
}

// links reads the pinned links.
func (w Worker) links(entries []os.DirEntry) ([]Attachment, error) {
	var out []Attachment
	for _, e := range entries {
		kind, number, ok := strings.Cut(e.Name(), "-")
		ifindex, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue // not pinned by NetManager
		}
		a, err := attachment(filepath.Join(w.LinkDir(), e.Name()), kind, ifindex)
		if errors.Is(err, os.ErrNotExist) {
			continue // detached since the folder was listed
		}
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", e.Name(), err)
		}
		out = append(out, a)
	}
	return out, nil
}

func attachment(pin, kind string, ifindex int) (Attachment, error) {
	a := Attachment{Kind: kind, Ifindex: ifindex}
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return a, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return a, err
	}
	// The kernel gives a link whose interface is gone number 0.
	if xdp := info.XDP(); xdp != nil {
		a.Gone = int(xdp.Ifindex) != ifindex
		if !a.Gone {
			a.Interface, a.XDP = cardOf(ifindex, info.Program)
		}
		return a, a.describe(info.Program)
	}
	tcx := info.TCX()
	a.Gone = tcx == nil || int(tcx.Ifindex) != ifindex
	if !a.Gone {
		a.Interface = interfaceOf(kind, ifindex, info.ID)
	}
	return a, a.describe(info.Program)
}

// describe fills in the program.
func (a *Attachment) describe(id ebpf.ProgramID) error {
	a.Program = uint32(id)
	prog, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil // replaced since: its number is all that is left
	}
	if err != nil {
		return fmt.Errorf("open program %d: %w", id, err)
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return fmt.Errorf("read about program %d: %w", id, err)
	}
	a.Name, a.Tag = info.Name, info.Tag
	a.Loaded, _ = info.LoadTime()
	return nil
}
