// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// serve answers in a network namespace whoever connects or sends a datagram with a name and the caller's address.
func serve(t *testing.T, in family, ns netns.NsHandle, name string) {
	t.Helper()
	var l net.Listener
	var p net.PacketConn
	within(t, ns, func() {
		var err error
		l, err = net.Listen(in.tcp(), ":80")
		require.NoError(t, err)
		p, err = net.ListenPacket(in.udp(), ":80")
		require.NoError(t, err)
	})
	t.Cleanup(func() { _, _ = l.Close(), p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				for s := bufio.NewScanner(c); s.Scan(); {
					_, _ = fmt.Fprintf(c, "%s %s %s\n", name, c.RemoteAddr().(*net.TCPAddr).IP, s.Text())
				}
			}()
		}
	}()
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = p.WriteTo(fmt.Appendf(nil, "%s %s %s", name, from.(*net.UDPAddr).IP, buffer[:n]), from)
		}
	}()
}

// say sends a line and returns the first two words of the answer, whose third is the line.
func say(t *testing.T, c net.Conn, line string) (name, seen string) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	_, err := c.Write([]byte(line + "\n"))
	require.NoError(t, err)
	buffer := make([]byte, 1<<16)
	n, err := c.Read(buffer)
	require.NoError(t, err)
	words := strings.SplitN(strings.TrimSpace(string(buffer[:n])), " ", 3)
	require.Len(t, words, 3)
	require.Equal(t, line, words[2])
	return words[0], words[1]
}

// TestHostProcessesCallServices has processes of a worker itself call a service with an instance beside them and one on another worker. They
// appear as the worker's gateway address, and are answered as from the service's.
func TestHostProcessesCallServices(t *testing.T) {
	for _, outer := range families {
		t.Run("Over"+outer.name, func(t *testing.T) {
			eachFamily(t, func(t *testing.T, in family) { hostProcesses(t, in, outer) })
		})
	}
}

func hostProcesses(t *testing.T, in, outer family) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns, outer)
	a.join()
	b.join()
	herePath, here := container(t, "here")
	farPath, far := container(t, "far")
	atHere, atFar := a.attach(0, herePath), b.attach(1, farPath)
	serve(t, in, here, "here")
	serve(t, in, far, "far")

	// The very first packets of anybody here: nothing is known yet.
	type dialled struct {
		net.Conn
		err error
	}
	result := make(chan dialled, 1)
	go a.within(func() {
		conn, err := net.DialTimeout(in.tcp(), at(in.vip, "80"), 5*time.Second)
		result <- dialled{conn, err}
	})
	var interest wire.NetInterest
	a.eventually("it asks for the address", func() bool {
		return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 && interest.Addresses[0].Address == in.vip
	})
	b.meet(a, atHere)
	a.meet(b, atFar)
	routes, more := a.c.routes(atHere), b.c.routes(atFar)
	routes.Instances = append(routes.Instances, more.Instances...)
	a.c.publish(wire.TopicNetRoutes+serviceID, routes, false)
	first := <-result
	require.NoError(t, first.err)
	defer func() { _ = first.Close() }()
	require.Equal(t, in.vip.String(), first.RemoteAddr().(*net.TCPAddr).IP.String())
	_, seen := say(t, first, "first")
	require.Equal(t, in.gateway.String(), seen)

	dial := func(network string) net.Conn {
		var conn net.Conn
		var err error
		a.within(func() { conn, err = net.DialTimeout(network, at(in.vip, "80"), 5*time.Second) })
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	open := map[string]net.Conn{}
	for _, network := range []string{in.tcp(), in.udp()} {
		got := map[string]int{}
		for i := range 10 {
			conn := dial(network)
			name, seen := say(t, conn, strings.Repeat("x", 1+i*140)) // up to what one packet takes
			require.Equal(t, in.gateway.String(), seen, network)
			got[name]++
			open[network+" "+name] = conn
		}
		require.Equal(t, map[string]int{"here": 5, "far": 5}, got, network)
	}
	for _, to := range []netip.Addr{in.instance(atHere), in.instance(atFar)} {
		a.within(func() {
			out, err := exec.CommandContext(t.Context(), "ping", "-c2", "-i0.01", "-W2", to.String()).CombinedOutput()
			require.NoError(t, err, "ping %s: %s", to, out)
		})
	}

	// Who calls nobody is told at once.
	refused := make(chan error, 1)
	go a.within(func() {
		_, err := net.DialTimeout(in.tcp(), at(in.vip.Next(), "80"), 5*time.Second)
		refused <- err
	})
	a.eventually("it asks for the other address", func() bool { return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 2 })
	a.c.publish(wire.TopicNetResolved, wire.NetResolved{Header: a.c.stamp(), Entries: []wire.ResolvedAddress{
		{Address: in.vip.Next(), Resolution: wire.ResolvedNone},
	}}, false)
	require.ErrorIs(t, <-refused, syscall.ECONNREFUSED)

	// Nothing of it needs NetManager once it is known.
	for _, w := range []*worker{a, b} {
		w.kill()
		w.c.stop()
	}
	for what, conn := range open {
		say(t, conn, "both are dead, says "+strings.ReplaceAll(what, " ", "-"))
	}
	for _, w := range []*worker{a, b} {
		w.start()
	}
	for what, conn := range open {
		say(t, conn, "both are back, says "+strings.ReplaceAll(what, " ", "-"))
	}
	say(t, dial(in.tcp()), "new")
}
