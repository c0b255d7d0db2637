// SPDX-License-Identifier: Apache-2.0

package features

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
)

// Pin is the record's file name in a worker's folder of pins.
const Pin = "features"

// size is how many bytes of JSON the record may have.
const size = 16 << 10

// Record is what was found when the datapath was loaded.
type Record struct {
	// Kernel is the release of the running kernel, such as 6.1.0-18-amd64.
	Kernel string `json:"kernel"`
	// Probed is when it was looked at.
	Probed   time.Time `json:"probed"`
	Features []Feature `json:"features"`
	// Uplinks says what became of the programs for the uplinks' cards.
	Uplinks []Uplink `json:"uplinks,omitempty"`
}

// How a card's program runs.
const (
	// XDPNative is in the card's driver, XDPGeneric in the kernel after it, which tests alone do.
	XDPNative  = "native"
	XDPGeneric = "generic"
	XDPOff     = "off"
)

// Uplink is a device towards other workers.
type Uplink struct {
	// Ifindex and Name are those that it has in its network namespace.
	Ifindex int    `json:"ifindex"`
	Name    string `json:"name"`
	// XDP is how its card's program runs, Why the reason where it does not.
	XDP string `json:"xdp"`
	Why string `json:"why"`
	// Decap says that its card's program takes outer headers off.
	Decap bool `json:"decapsulates"`
}

// Feature is one thing that a kernel can do or not.
type Feature struct {
	// Name is short and stable, such as tcx.
	Name string `json:"name"`
	// Least is the first kernel version that has it; "" where no release has it yet.
	Least string `json:"least_kernel"`
	// Use says what the datapath wants it for.
	Use string `json:"use"`
	// Found says that the kernel has it, Used that the datapath makes use of it: it may have been told not to.
	Found bool `json:"found"`
	Used  bool `json:"used"`
	// Fallback says what is done without it; "" where nothing would do.
	Fallback string `json:"fallback"`
}

// Fallbacks lists the features that are done without.
func (r Record) Fallbacks() []Feature {
	var out []Feature
	for _, f := range r.Features {
		if !f.Used {
			out = append(out, f)
		}
	}
	return out
}

// Uses reports whether the datapath makes use of a feature.
func (r Record) Uses(name string) bool {
	for _, f := range r.Features {
		if f.Name == name {
			return f.Used
		}
	}
	return false
}

// Write pins the record in a worker's folder of pins in place of an earlier one.
func Write(dir string, r Record) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record of kernel features: %w", err)
	}
	if len(body) > size {
		return fmt.Errorf("record of kernel features takes %d bytes, %d at most", len(body), size)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "oak_features", Type: ebpf.Array, KeySize: 4, ValueSize: size, MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("create record of kernel features: %w", err)
	}
	defer m.Close()
	if err := m.Put(uint32(0), append(body, make([]byte, size-len(body))...)); err != nil {
		return fmt.Errorf("fill record of kernel features: %w", err)
	}
	// Whoever reads meanwhile finds the old record or the new one.
	fresh := filepath.Join(dir, Pin+"_new")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove left-over record of kernel features: %w", err)
	}
	if err := m.Pin(fresh); err != nil {
		return fmt.Errorf("pin record of kernel features: %w", err)
	}
	if err := os.Rename(fresh, filepath.Join(dir, Pin)); err != nil {
		return fmt.Errorf("replace record of kernel features: %w", err)
	}
	return nil
}

// Read returns the record that is pinned in a worker's folder. The error wraps [os.ErrNotExist] if there is none.
func Read(dir string) (Record, error) {
	var r Record
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, Pin), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return r, fmt.Errorf("open record of kernel features: %w", err)
	}
	defer m.Close()
	body, err := m.LookupBytes(uint32(0))
	if err != nil {
		return r, fmt.Errorf("read record of kernel features: %w", err)
	}
	if err := json.Unmarshal(bytes.TrimRight(body, "\x00"), &r); err != nil {
		return r, fmt.Errorf("decode record of kernel features: %w", err)
	}
	return r, nil
}
