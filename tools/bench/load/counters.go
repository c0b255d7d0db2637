// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counters are shared between a server's threads and the client: a file of one cache line a thread.
const (
	counterLine = 64
	maxCounters = 1024
)

type counters struct {
	memory []byte
	next   atomic.Int32
}

// CreateCounters makes the file that a server and its client share.
func CreateCounters(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create the counters' file: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(counterLine * maxCounters); err != nil {
		return fmt.Errorf("size the counters' file: %w", err)
	}
	return nil
}

func openCounters(path string) (*counters, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the counters' file: %w", err)
	}
	defer func() { _ = f.Close() }()
	m, err := unix.Mmap(int(f.Fd()), 0, counterLine*maxCounters, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the counters' file: %w", err)
	}
	return &counters{memory: m}, nil
}

// take returns a counter that no other thread writes.
func (c *counters) take() *uint64 { return c.at(int(c.next.Add(1)) - 1) }

func (c *counters) at(i int) *uint64 {
	return (*uint64)(unsafe.Pointer(&c.memory[i*counterLine : (i+1)*counterLine][0]))
}

func (c *counters) sum() (total uint64) {
	for i := range maxCounters {
		total += atomic.LoadUint64(c.at(i))
	}
	return total
}
