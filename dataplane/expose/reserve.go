// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// reservedPorts are what the kernel gives to no socket that asks for any port, in both protocols and families.
const reservedPorts = "/proc/sys/net/ipv4/ip_local_reserved_ports"

// maxSysctl is what the kernel reads of one write.
const maxSysctl = 4095

type ports map[uint16]struct{}

func (p ports) list() []uint16 { return slices.Sorted(maps.Keys(p)) }

// reservation keeps ports reserved, and knows which of those that are reserved are its own: those of others are never taken back.
type reservation struct {
	file string
	ours ports
}

func openReservation(file string) (*reservation, error) {
	r := &reservation{file: file, ours: ports{}}
	var stored []uint16
	if err := statefile.Read(file, &stored); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read which ports are reserved: %w", err)
	}
	for _, p := range stored {
		r.ours[p] = struct{}{}
	}
	return r, nil
}

// set has the wanted ports reserved, and no others of ours. What is right is not written. What is ours is on disk before the
// kernel knows of it, so that no crash leaves a reservation that nobody takes back.
func (r *reservation) set(want ports) error {
	have, err := readReserved()
	if err != nil {
		return err
	}
	next, ours := maps.Clone(have), ports{}
	for p := range r.ours {
		delete(next, p)
	}
	for p := range want {
		if _, others := next[p]; !others {
			ours[p], next[p] = struct{}{}, struct{}{}
		}
	}
	if !maps.Equal(ours, r.ours) {
		both := maps.Clone(ours)
		maps.Copy(both, r.ours)
		if err := r.store(both); err != nil {
			return err
		}
	}
	if !maps.Equal(have, next) {
		if err := writeReserved(next); err != nil {
			return err
		}
	}
	return r.store(ours)
}

func (r *reservation) store(ours ports) error {
	if maps.Equal(ours, r.ours) {
		return nil
	}
	if err := statefile.Write(r.file, ours.list()); err != nil {
		return fmt.Errorf("store which ports are reserved: %w", err)
	}
	r.ours = ours
	return nil
}

func readReserved() (ports, error) {
	text, err := os.ReadFile(reservedPorts)
	if err != nil {
		return nil, fmt.Errorf("read reserved ports: %w", err)
	}
	out, err := parseRanges(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("read reserved ports: %w", err)
	}
	return out, nil
}

func writeReserved(p ports) error {
	text := formatRanges(p.list())
	if len(text) > maxSysctl {
		return fmt.Errorf("reserve ports: %d in so many runs are more than the kernel takes: expose fewer ports, or neighbouring ones", len(p))
	}
	if err := os.WriteFile(reservedPorts, []byte(text+"\n"), 0); err != nil {
		return fmt.Errorf("reserve ports: %w", err)
	}
	return nil
}

// parseRanges reads a list such as "22,8000-8100".
func parseRanges(s string) (ports, error) {
	out := ports{}
	if s == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		lo, errLo := strconv.ParseUint(from, 10, 16)
		hi, errHi := strconv.ParseUint(to, 10, 16)
		if errLo != nil || errHi != nil || lo > hi {
			return nil, fmt.Errorf("%q is neither a port nor a range of ports", part)
		}
		for p := lo; p <= hi; p++ {
			out[uint16(p)] = struct{}{}
		}
	}
	return out, nil
}

// formatRanges is the inverse of parseRanges; list rises.
func formatRanges(list []uint16) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(list[i])))
		if j > i {
			fmt.Fprintf(&b, "-%d", list[j])
		}
		i = j + 1
	}
	return b.String()
}

// Release takes back every port that is reserved on a table's behalf.
func Release(stateFile string) error {
	r, err := openReservation(stateFile)
	if err != nil {
		return err
	}
	return r.set(ports{})
}
