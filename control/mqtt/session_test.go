// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// rules lets everyone in and keeps topics under secret/ from readers.
type rules struct{ mochi.HookBase }

func (*rules) ID() string { return "rules" }
func (*rules) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*rules) OnConnectAuthenticate(*mochi.Client, mochiPacket) bool { return true }
func (*rules) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return write || !strings.HasPrefix(topic, "secret/")
}

type broker struct {
	t    *testing.T
	addr string
	srv  *mochi.Server
	once sync.Once
}

// startBroker serves on addr; "127.0.0.1:0" picks a port.
func startBroker(t *testing.T, addr string) *broker {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := srv.AddHook(new(rules), nil); err != nil {
		t.Fatal(err)
	}
	if err := srv.AddListener(listeners.NewNet("l", ln)); err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(); err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, addr: ln.Addr().String(), srv: srv}
	t.Cleanup(b.stop)
	return b
}

func (b *broker) stop() { b.once.Do(func() { _ = b.srv.Close() }) }

func dial(t *testing.T, o Options) *Session {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

func TestMessagesArriveInOrder(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	const n = 500
	got := make(chan string, n)
	sub := dial(t, Options{Brokers: []string{b.addr}, ClientID: "sub"})
	if err := sub.Subscribe("a/+/c", func(_ string, p []byte) { got <- string(p) }); err != nil {
		t.Fatal(err)
	}
	pub := dial(t, Options{Brokers: []string{b.addr}, ClientID: "pub"})
	eventually(t, "both connected", func() bool { return sub.Connected() && pub.Connected() })
	for i := range n {
		if err := pub.Publish(t.Context(), Message{Topic: "a/b/c", Payload: []byte(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		select {
		case p := <-got:
			if p != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, p)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("message %d did not arrive", i)
		}
	}
}

func TestBrokerRestartRenewsSubscriptionsAndState(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	var connects, wills atomic.Int64
	got := make(chan string, 16)
	s := dial(t, Options{
		Brokers: []string{"127.0.0.1:1", b.addr}, ClientID: "x", // the first refuses: the second has to be tried
		NextWill: func() (*Message, error) { wills.Add(1); return &Message{Topic: "will", Payload: []byte("gone")}, nil },
		OnConnect: func(ctx context.Context, s *Session) {
			n := connects.Add(1)
			if err := s.Publish(ctx, Message{Topic: "state", Payload: []byte(fmt.Sprint(n))}); err != nil {
				t.Error(err)
			}
		}})
	if err := s.Subscribe("state", func(_ string, p []byte) { got <- string(p) }); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2; n++ {
		select {
		case p := <-got:
			if p != fmt.Sprint(n) {
				t.Fatalf("connect %d published %q", n, p)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing came back after connect %d", n)
		}
		if n == 1 {
			b.stop()
			eventually(t, "loss noticed", func() bool { return !s.Connected() })
			if err := s.Publish(t.Context(), Message{Topic: "state"}); !errors.Is(err, ErrNotConnected) {
				t.Fatalf("publish while disconnected: %v", err)
			}
			b = startBroker(t, b.addr)
		}
	}
	if wills.Load() < 2 {
		t.Fatal("the second connection did not get a will of its own")
	}
}

func TestRefusedSubscriptionIsAnError(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	s := dial(t, Options{Brokers: []string{b.addr}, ClientID: "x"})
	eventually(t, "connected", s.Connected)
	err := s.Subscribe("secret/a", func(string, []byte) {})
	if err == nil || !strings.Contains(err.Error(), "secret/a") {
		t.Fatalf("got %v", err)
	}
}

func TestWillOnlyWithoutGoodbye(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	wills := make(chan string, 4)
	watch := dial(t, Options{Brokers: []string{b.addr}, ClientID: "watch"})
	if err := watch.Subscribe("will/#", func(topic string, _ []byte) { wills <- topic }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected", watch.Connected)
	polite := dial(t, Options{Brokers: []string{b.addr}, ClientID: "polite", Will: &Message{Topic: "will/polite", Payload: []byte("gone")}})
	rude := dial(t, Options{Brokers: []string{b.addr}, ClientID: "rude", Will: &Message{Topic: "will/rude", Payload: []byte("gone")}})
	eventually(t, "connected", func() bool { return polite.Connected() && rude.Connected() })
	polite.Close()
	var c *mochi.Client
	eventually(t, "the broker knows the client", func() bool {
		var ok bool
		c, ok = b.srv.Clients.Get("rude")
		return ok
	})
	_ = c.Net.Conn.Close()
	select {
	case topic := <-wills:
		if topic != "will/rude" {
			t.Fatalf("will of a session that said goodbye: %s", topic)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no will")
	}
}

func TestHandlerMayPublishAndSlowOneLosesNothing(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	done := make(chan int, 1)
	s := dial(t, Options{Brokers: []string{b.addr}, ClientID: "x"})
	n := 0
	if err := s.Subscribe("ping", func(string, []byte) {
		if err := s.Publish(t.Context(), Message{Topic: "pong"}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Subscribe("pong", func(string, []byte) {
		if n++; n == 200 {
			done <- n
		}
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected", s.Connected)
	for range 200 {
		if err := s.Publish(t.Context(), Message{Topic: "ping", Payload: bytes.Repeat([]byte("x"), 100)}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("handlers that publish do not get on")
	}
}

func TestCloseWhileTheBrokerIsAwayIsPrompt(t *testing.T) {
	s := dial(t, Options{Brokers: []string{"127.0.0.1:1"}, ClientID: "x"})
	time.Sleep(150 * time.Millisecond)
	began := time.Now()
	s.Close()
	if took := time.Since(began); took > time.Second {
		t.Fatalf("closing took %s", took)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{ClientID: "x"}, {Brokers: []string{"a:1"}}, {Brokers: []string{"a"}, ClientID: "x"}} {
		if _, err := Dial(t.Context(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestInboxIsBounded(t *testing.T) {
	var b inbox
	b.init()
	for i := range maxQueued {
		if !b.put(Message{}) {
			t.Fatalf("message %d refused", i)
		}
	}
	if b.put(Message{}) {
		t.Fatal("one message too many was taken")
	}
	if b.put(Message{Payload: make([]byte, maxQueuedBytes+1)}) {
		t.Fatal("too many bytes were taken")
	}
}
