// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// settleAfter is how long after its last packet the count of an address that nothing waits for is kept. The programs take it for settled
// earlier, when the next packet comes; this is for those to which none comes.
const settleAfter = 3 * time.Second

// settle deletes the counts of packets that are up, where which says so.
func settle(maps *bpf.Maps, which func(wanted, bpf.Pending) bool) error {
	var err error
	var keys []bpf.Addr
	for key, p := range maps.Pending.All(&err) {
		if which(pendingKey(key), p) {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if derr := maps.Pending.Delete(key); derr != nil && err == nil {
			err = derr
		}
	}
	if err != nil {
		return fmt.Errorf("settle the counts of held packets: %w", err)
	}
	return nil
}

// pendingKey tells what a key of the map pending stands for: a source has its first bit flipped. Overlay addresses are IPv4, which the maps
// hold with ten zero bytes in front, or unique local IPv6, which begin with 0xfc or 0xfd.
func pendingKey(key bpf.Addr) wanted {
	flipped := key
	flipped.B[0] ^= 0x80
	if key.B[0] == 0x80 || key.B[0]&0xfe == 0x7c {
		return wanted{addr: flipped, source: true}
	}
	return wanted{addr: key}
}

// settleOld deletes the counts of addresses that neither packets nor we have to do with any more, so that the map does not fill up. It also
// deletes those of addresses of which frames were lost on the way, in the kernel's queues: we hold none, and still as many are missing as
// the last time we looked. Else every packet to such an address would come up for as long as there are any, and none would pass without us.
func (q *Queue) settleOld() {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return
	}
	now := time.Duration(ts.Nano())
	missing := map[wanted]uint64{}
	err := settle(q.cfg.Maps, func(key wanted, p bpf.Pending) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.holds[key] != nil {
			return false
		}
		if n := p.Up - p.Down; n != 0 {
			missing[key] = n
		}
		return now-time.Duration(p.LastUp) > settleAfter || missing[key] != 0 && missing[key] == q.missing[key]
	})
	q.mu.Lock()
	q.missing = missing
	q.mu.Unlock()
	if err != nil && q.gripes.Allow() {
		q.log.Warn("cannot settle", "error", err)
	}
}
