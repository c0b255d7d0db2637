// SPDX-License-Identifier: Apache-2.0

// Package mailtest owns a small SMTP server on loopback for tests: it takes mails and keeps them.
package mailtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is one that was taken.
type Mail struct {
	To   string
	Text string // header and body
}

// Server is the server.
type Server struct {
	// Addr is its HOST:PORT.
	Addr string
	// TLS, if not nil, is offered by STARTTLS.
	TLS *tls.Config

	mu    sync.Mutex
	mails []Mail
	lines []string // everything that came in the clear
	fail  int      // so many mails are put off first
}

// Start starts a server that ends with the test.
func Start(t testing.TB, conf *tls.Config) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: ln.Addr().String(), TLS: conf}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				s.serve(conn, false)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); group.Wait() })
	return s
}

// PutOff has the next n mails put off with a temporary error.
func (s *Server) PutOff(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = n
}

// Mails returns those that were taken.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Clear returns everything that clients said in the clear.
func (s *Server) Clear() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

func (s *Server) serve(conn net.Conn, secure bool) {
	in := bufio.NewReader(conn)
	say := func(text string) { _, _ = fmt.Fprintf(conn, "%s\r\n", text) }
	if !secure {
		say("220 test ESMTP")
	}
	var mail Mail
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if !secure {
			s.mu.Lock()
			s.lines = append(s.lines, line)
			s.mu.Unlock()
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO", "HELO":
			if s.TLS != nil && !secure {
				say("250-test")
				say("250 STARTTLS")
			} else {
				say("250 test")
			}
		case "STARTTLS":
			if s.TLS == nil || secure {
				say("502 no")
				continue
			}
			say("220 go on")
			s.serve(tls.Server(conn, s.TLS), true)
			return
		case "RCPT":
			mail.To = strings.Trim(strings.TrimPrefix(strings.TrimPrefix(line, "RCPT TO:"), "rcpt to:"), "<> ")
			say("250 ok")
		case "DATA":
			s.mu.Lock()
			putOff := s.fail > 0
			if putOff {
				s.fail--
			}
			s.mu.Unlock()
			if putOff {
				say("451 later")
				continue
			}
			say("354 go on")
			var text strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimRight(line, "\r\n") == "." {
					break
				}
				text.WriteString(line)
			}
			mail.Text = text.String()
			s.mu.Lock()
			s.mails = append(s.mails, mail)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
