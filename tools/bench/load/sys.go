// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threads is how many loops may block in the kernel at a time. Each keeps one of Go's processors while it does, since Go is not
// told of the system call.
const threads = 400

// settle makes the process fit for measuring. No garbage is collected, since that would have to stop threads that Go cannot; so
// that comes first.
func settle() {
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(threads)
}

// begin starts n loops, each on a thread of its own, and returns once all of them are at work.
//
// A loop in the kernel keeps Go's processor, and with it whatever else Go has queued there; nobody looks for that unless woken. So who waits
// for a loop does not wait to be woken by it, but sleeps and looks: Go does see to overdue timers.
func begin(n int, loop func(i int)) {
	var started atomic.Int32
	for i := range n {
		go func() {
			runtime.LockOSThread()
			started.Add(1)
			loop(i)
		}()
	}
	await(&started, n)
}

// await sleeps until the counter has come to n.
func await(counter *atomic.Int32, n int) {
	for counter.Load() < int32(n) {
		time.Sleep(500 * time.Microsecond)
	}
}

// Environment is what the processes of this package need besides their own: without it Go interrupts system calls by signals, and may
// be about to collect garbage before it can be told not to.
func Environment() []string { return []string{"GODEBUG=asyncpreemptoff=1", "GOGC=off"} }

func read(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func write(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// readFull reads all of p; n is less only at the connection's end.
func readFull(fd int, p []byte) (n int, e syscall.Errno) {
	for n < len(p) {
		m, e := read(fd, p[n:])
		if e != 0 || m == 0 {
			return n, e
		}
		n += m
	}
	return n, 0
}

func accept(fd int) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func closeFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// address is a socket address as the kernel reads it.
type address struct {
	raw  unix.RawSockaddrInet6 // the larger of both
	size uintptr
}

func addressOf(a netip.AddrPort) (out address) {
	port := a.Port()<<8 | a.Port()>>8
	if a.Addr().Unmap().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&out.raw))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: a.Addr().Unmap().As4()}
		out.size = unix.SizeofSockaddrInet4
		return out
	}
	out.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: a.Addr().As16()}
	out.size = unix.SizeofSockaddrInet6
	return out
}

func connect(fd int, a *address) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), a.size)
	return e
}

func receiveFrom(fd int, p []byte, from *address) (int, syscall.Errno) {
	for {
		size := uint32(unsafe.Sizeof(from.raw))
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0,
			uintptr(unsafe.Pointer(&from.raw)), uintptr(unsafe.Pointer(&size)))
		from.size = uintptr(size)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func sendTo(fd int, p []byte, to *address) {
	_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0,
		uintptr(unsafe.Pointer(&to.raw)), to.size)
}

// socket makes one of the family of a.
func socket(a *address, kind int) (int, syscall.Errno) {
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(a.raw.Family), uintptr(kind|unix.SOCK_CLOEXEC), 0)
	return int(fd), e
}

// patience bounds how long a client waits for the network.
const patience = 3 * time.Second

// impatient has system calls on a client's socket fail rather than wait for ever.
func impatient(fd int) error {
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv); err != nil {
			return fmt.Errorf("bound the wait of a socket: %w", err)
		}
	}
	return nil
}
