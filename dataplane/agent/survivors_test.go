// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// crowd is a client with many flows through a service's address to an instance on its own worker and one on another.
type crowd struct {
	t          *testing.T
	in         family
	a, b       *worker
	gateway    string
	client     netns.NsHandle
	namespaces []netns.NsHandle
	conns      []net.Conn
	before     map[string]int // of resets
}

// The ports of the flows that are held, and of those that come and go.
const (
	heldPort  = "80"
	shortPort = "81"
)

// newCrowd opens n flows, each of which has carried a byte each way.
func newCrowd(t *testing.T, in family, n int, a, b *worker) *crowd {
	t.Helper()
	require.NoError(t, allowFiles())
	c := &crowd{t: t, in: in, a: a, b: b}
	cable(t, a.ns, b.ns)
	a.join()
	b.join()
	var paths [3]string
	for i, name := range []string{"client", "near", "far"} {
		var ns netns.NsHandle
		paths[i], ns = container(t, name)
		c.namespaces = append(c.namespaces, ns)
	}
	c.client = c.namespaces[0]
	from := c.attach(a, 0, paths[0])
	near, far := c.attach(a, 1, paths[1]), c.attach(b, 2, paths[2])
	c.gateway = from.Gateway.String()
	for _, w := range []*worker{a, b} {
		w.eventually("the cluster hears of its instances", func() bool {
			return w.c.last(wire.TopicNetEndpoints, &w.told) && len(w.told.Endpoints) == map[*worker]int{a: 2, b: 1}[w]
		})
	}
	b.meet(a, from)
	a.meet(b, far)
	routes, others := a.c.routes(near), b.c.routes(far)
	routes.Instances = append(routes.Instances, others.Instances...)
	for _, ns := range c.namespaces[1:] {
		c.serve(ns)
	}
	first := make(chan error, 1)
	go within(t, c.client, func() { first <- c.short() })
	var interest wire.NetInterest
	a.eventually("it asks for the address", func() bool { return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 })
	routes.Header = a.c.stamp()
	a.c.publish(wire.TopicNetRoutes+serviceID, routes, false)
	require.NoError(t, <-first)
	c.open(n)
	require.Zero(t, c.say('a'), "flows carry nothing from the beginning")
	time.Sleep(2 * saveEvery) // what a kill may lose
	c.before = c.resets()
	return c
}

func (c *crowd) attach(w *worker, number int, path string) (e wire.LocalEndpoint) {
	c.t.Helper()
	request := attachRequest(number, path)
	request.Organization = "acme"
	_, err := w.ask(http.MethodPut, wire.PathLocalEndpoints, request, &e)
	require.NoError(c.t, err)
	return e
}

// allowFiles has this process have as many sockets as it may.
func allowFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// serve starts a process that echoes in a container. It is one of its own, since no process may have as many sockets as both ends need.
func (c *crowd) serve(ns netns.NsHandle) {
	c.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), echoVar+"="+c.in.tcp())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // closed at the end, whatever it is that ends the test
	require.NoError(c.t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(c.t, err)
	within(c.t, ns, func() { err = cmd.Start() })
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	ready := make([]byte, 1)
	_, err = io.ReadFull(stdout, ready)
	require.NoError(c.t, err)
}

// echoVar has the test binary be a server, on the network that it names.
const echoVar = "OAK_TEST_ECHO"

// serveEchoes does that until nobody holds its standard input open.
func serveEchoes(network string) error {
	if err := allowFiles(); err != nil {
		return err
	}
	for _, port := range []string{heldPort, shortPort} {
		l, err := net.Listen(network, ":"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					fmt.Fprintln(os.Stderr, "accept:", err)
					return
				}
				go func() {
					defer conn.Close()
					for buf := make([]byte, 1); ; {
						if _, err := io.ReadFull(conn, buf); err != nil {
							return
						}
						if _, err := conn.Write(buf); err != nil {
							return
						}
					}
				}()
			}
		}()
	}
	fmt.Print("!")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// openers is how many connections are being opened at a time, at most.
const openers = 8

func (c *crowd) open(n int) {
	c.t.Helper()
	var wg sync.WaitGroup
	var lock sync.Mutex
	var failed error
	for range openers {
		wg.Go(func() {
			within(c.t, c.client, func() {
				for range n / openers {
					conn, err := net.DialTimeout(c.in.tcp(), at(c.in.vip, heldPort), 5*time.Second)
					lock.Lock()
					if err != nil {
						failed = err
					} else {
						c.conns = append(c.conns, conn)
					}
					lock.Unlock()
				}
			})
		})
	}
	wg.Wait()
	c.t.Cleanup(func() {
		for _, conn := range c.conns {
			_ = conn.Close()
		}
	})
	require.NoError(c.t, failed)
	require.Len(c.t, c.conns, n/openers*openers)
}

// pingPong sends a byte and waits for it to come back.
func pingPong(conn net.Conn, b byte) error {
	buf := []byte{b}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(buf); err != nil {
		return err
	}
	buf[0] = 0
	if _, err := io.ReadFull(conn, buf); err != nil {
		return err
	}
	if buf[0] != b {
		return fmt.Errorf("%q came back for %q", buf[0], b)
	}
	return nil
}

// say has every flow that is held exchange a byte, and returns how many cannot.
func (c *crowd) say(b byte) (lost int64) {
	const speakers = 16
	var failed atomic.Int64
	var once sync.Once
	var wg sync.WaitGroup
	for i := range speakers {
		wg.Go(func() {
			for n := i; n < len(c.conns); n += speakers {
				if err := pingPong(c.conns[n], b); err != nil {
					failed.Add(1)
					once.Do(func() { c.t.Logf("flow %d from %v: %v", n, c.conns[n].LocalAddr(), err) })
				}
			}
		})
	}
	wg.Wait()
	return failed.Load()
}

// short opens a connection, exchanges a byte and ends it. It runs in the client's namespace.
func (c *crowd) short() error {
	conn, err := net.DialTimeout(c.in.tcp(), at(c.in.vip, shortPort), 5*time.Second)
	if err != nil {
		return err
	}
	return errors.Join(pingPong(conn, 's'), conn.Close())
}

// newcomers opens so many new connections a second until stop is called, which tells how many there were, how many failed, and the longest.
func (c *crowd) newcomers(perSecond int) (stop func() (opened, failed int64, slowest time.Duration)) {
	due, done := make(chan struct{}, 10*perSecond), make(chan struct{})
	var all, bad, longest atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	for range openers {
		wg.Go(func() {
			within(c.t, c.client, func() {
				for range due {
					begin := time.Now()
					if err := c.short(); err != nil {
						bad.Add(1)
						once.Do(func() { c.t.Logf("a new connection: %v", err) })
					}
					all.Add(1)
					for took := int64(time.Since(begin)); ; {
						if was := longest.Load(); took <= was || longest.CompareAndSwap(was, took) {
							break
						}
					}
				}
			})
		})
	}
	go func() {
		defer close(due)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				due <- struct{}{}
			}
		}
	}()
	return func() (int64, int64, time.Duration) {
		close(done)
		wg.Wait()
		return all.Load(), bad.Load(), time.Duration(longest.Load())
	}
}

// resets counts what the kernel has done about connections that were reset, refused or given up, by container.
func (c *crowd) resets() map[string]int {
	c.t.Helper()
	counts := map[string]int{}
	for i, ns := range c.namespaces {
		within(c.t, ns, func() {
			f, err := os.Open("/proc/thread-self/net/snmp")
			require.NoError(c.t, err)
			defer f.Close()
			var names []string
			for lines := bufio.NewScanner(f); lines.Scan(); {
				fields := strings.Fields(lines.Text())
				if len(fields) == 0 || fields[0] != "Tcp:" {
					continue
				}
				if names == nil {
					names = fields
					continue
				}
				for at, name := range names {
					switch name {
					case "EstabResets", "OutRsts", "AttemptFails":
						count, err := strconv.Atoi(fields[at])
						require.NoError(c.t, err)
						counts[fmt.Sprint(name, " of ", []string{"client", "near", "far"}[i])] = count
					}
				}
			}
		})
	}
	return counts
}

// held wants that nothing has broken.
func (c *crowd) held(lost int64) {
	c.t.Helper()
	require.Zero(c.t, lost, "flows were lost")
	require.Equal(c.t, c.before, c.resets(), "connections were reset")
}
