// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// workload answers as it is told to.
type workload struct {
	execute func(ctx context.Context, command []string) (uint32, error)
	asked   atomic.Int64
}

func (w *workload) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	w.asked.Add(1)
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
}

func (w *workload) Execute(ctx context.Context, command []string) (uint32, error) {
	w.asked.Add(1)
	return w.execute(ctx, command)
}

func portOf(t *testing.T, addr string) uint16 {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func once(p *wire.Probe, w *workload) error {
	a := &asker{probe: p, target: w, timeout: settingsOf(p).timeout}
	return a.ask(context.Background())
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
		case "/moved":
			http.Redirect(w, r, "/bad", http.StatusFound)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		case "/silent":
			<-r.Context().Done()
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("hidden-from-all"))
		}
	}))
	defer server.Close()
	port := portOf(t, server.Listener.Addr().String())
	for path, want := range map[string]string{"/ok": "", "ok": "", "/moved": "", "/endless": "", "/bad?x=1": "status 503", "/silent": "no answer within 1s", "/header": "too much"} {
		err := once(&wire.Probe{HTTP: &wire.HTTPProbe{Path: path, Port: port}}, &workload{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("what the workload says is passed on: %v", err)
		}
	}
	server.Close()
	if err := once(&wire.Probe{HTTP: &wire.HTTPProbe{Port: port}}, &workload{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("of a closed port: %v", err)
	}
}

// A server that speaks something else, or nothing, is told so, and what it says stays with it.
func TestWhatIsNotHTTP(t *testing.T) {
	for answer, want := range map[string]string{"hidden-from-all 1 2 3\r\n\r\n": "not HTTP", "HTTP/1.1 hidden\r\n\r\n": "not HTTP",
		"HTTP/1.1 200 OK\r\nhidden from all\r\n\r\n": "not HTTP", "": "without an answer"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Read(make([]byte, 1024))
				_, _ = c.Write([]byte(answer))
				_ = c.Close()
			}
		}()
		err = once(&wire.Probe{HTTP: &wire.HTTPProbe{Port: portOf(t, l.Addr().String())}}, &workload{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", answer, err)
		}
		_ = l.Close()
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &wire.Probe{TCP: &wire.TCPProbe{Port: portOf(t, l.Addr().String())}}
	if err := once(p, &workload{}); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	if err := once(p, &workload{}); err == nil {
		t.Error("a closed port is open")
	}
}

func TestExec(t *testing.T) {
	p := &wire.Probe{Exec: &wire.ExecProbe{Command: []string{"check", "me"}}}
	for status, ok := range map[uint32]bool{0: true, 1: false, 255: false} {
		err := once(p, &workload{execute: func(_ context.Context, c []string) (uint32, error) {
			if strings.Join(c, " ") != "check me" {
				t.Errorf("runs %v", c)
			}
			return status, nil
		}})
		if (err == nil) != ok {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if err := once(&wire.Probe{}, &workload{}); err == nil {
		t.Error("a probe that asks nothing succeeds")
	}
}

// A target that ignores its context hangs a question, not the prober; and no second one is piled on it.
func TestHangingQuestionIsBounded(t *testing.T) {
	release := make(chan struct{})
	w := &workload{execute: func(context.Context, []string) (uint32, error) { <-release; return 0, nil }}
	a := &asker{probe: &wire.Probe{Exec: &wire.ExecProbe{Command: []string{"x"}}}, target: w, timeout: 20 * time.Millisecond}
	began := time.Now()
	for range 3 {
		if a.ask(context.Background()) == nil {
			t.Error("a question without an answer succeeds")
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if n := w.asked.Load(); n != 1 {
		t.Errorf("%d questions hang at a time", n)
	}
	close(release)
	<-a.pending
	if err := a.ask(context.Background()); err != nil {
		t.Errorf("after the hang: %v", err)
	}
}

// script answers a question each, the last one for ever.
func script(answers string) *workload {
	var mu sync.Mutex
	return &workload{execute: func(context.Context, []string) (uint32, error) {
		mu.Lock()
		defer mu.Unlock()
		c := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		if c == 'x' {
			return 0, errors.New("is gone")
		}
		return uint32(c - '0'), nil
	}}
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		answers             string
		start               Start
		successes, failures int
		want                string // verdicts, in order
	}{
		{"1101101", Failing, 2, 3, ""},
		{"1001000", Failing, 2, 3, "+"},
		{"10110111", Healthy, 1, 3, "-"},
		{"0110110", Healthy, 1, 3, ""},
		{"1", Unknown, 1, 3, "-"},
		{"0", Unknown, 3, 1, "+"},
		{"0xxx00", Unknown, 2, 3, "+-+"},
	} {
		p := &wire.Probe{Exec: &wire.ExecProbe{Command: []string{"x"}}, SuccessThreshold: c.successes, FailureThreshold: c.failures}
		s := settingsOf(p)
		s.period = time.Millisecond
		ctx, cancel := context.WithCancel(context.Background())
		w := script(c.answers)
		got, done := "", make(chan struct{})
		go func() {
			defer close(done)
			watch(ctx, &asker{probe: p, target: w, timeout: time.Second}, s, c.start, func(v Verdict) {
				if v.OK {
					got += "+"
				} else {
					got += "-"
				}
			})
		}()
		for w.asked.Load() < int64(len(c.answers)+3) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-done
		if got != c.want {
			t.Errorf("%s from %d: verdicts %q, want %q", c.answers, c.start, got, c.want)
		}
	}
}

// A server that needs a moment is ready soon after, not a period later.
func TestReadinessIsAskedForOftenAtFirst(t *testing.T) {
	w := script("1110")
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second) // less than the period
	defer cancel()
	ready := make(chan Verdict, 1)
	go Watch(ctx, &wire.Probe{Exec: &wire.ExecProbe{Command: []string{"x"}}}, w, Failing, func(v Verdict) { ready <- v })
	select {
	case v := <-ready:
		if !v.OK || v.Why != "" {
			t.Errorf("%+v", v)
		}
	case <-ctx.Done():
		t.Errorf("not ready after %d questions", w.asked.Load())
	}
}

func TestDefaults(t *testing.T) {
	want := settings{0, 10 * time.Second, time.Second, 1, 3}
	for _, p := range []*wire.Probe{{}, {InitialDelaySeconds: -1, PeriodSeconds: -1, TimeoutSeconds: -2, SuccessThreshold: -1, FailureThreshold: -4}} {
		if got := settingsOf(p); got != want {
			t.Errorf("%+v", got)
		}
	}
}
