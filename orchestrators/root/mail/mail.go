// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	smtp "github.com/wneessen/go-mail"
)

// How a connection to the server is protected.
const (
	// StartTLS turns a plain connection into TLS before anything is said, and fails if the server does not.
	StartTLS = "starttls"
	// TLS is TLS from the first byte.
	TLS = "tls"
	// Plain protects nothing; no password is sent over it.
	Plain = "none"
)

const (
	// dialTimeout bounds an attempt to send a mail.
	dialTimeout = 15 * time.Second
	// attempts is how often sending one is tried, firstWait how long after the first failure; it doubles from then on.
	attempts  = 4
	firstWait = 2 * time.Second
)

// Config says by whom mails are sent.
type Config struct {
	// Server is HOST:PORT.
	Server string
	// User and Password are sent if User is not empty.
	User, Password string
	// From is the sender's address.
	From string
	// Protection is [StartTLS], [TLS] or [Plain].
	Protection string
	// Roots verify the server; nil for the system's.
	Roots *x509.CertPool

	wait time.Duration // in place of firstWait, in tests
}

// Sender sends mails.
type Sender struct {
	cfg  Config
	host string
	port int
}

// New checks a configuration. It does not connect.
func New(cfg Config) (*Sender, error) {
	host, port, err := net.SplitHostPort(cfg.Server)
	if err != nil || host == "" {
		return nil, fmt.Errorf("mail server %q is not HOST:PORT", cfg.Server)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, fmt.Errorf("mail server %q has no port", cfg.Server)
	}
	switch cfg.Protection {
	case StartTLS, TLS, Plain:
	default:
		return nil, fmt.Errorf("protection of mail %q is none of %s, %s, %s", cfg.Protection, StartTLS, TLS, Plain)
	}
	if cfg.User != "" && cfg.Protection == Plain {
		return nil, errors.New("a password for the mail server would travel unprotected: use starttls or tls")
	}
	if err := smtp.NewMsg().From(cfg.From); err != nil {
		return nil, fmt.Errorf("sender of mails %q is no address: %w", cfg.From, err)
	}
	if cfg.wait == 0 {
		cfg.wait = firstWait
	}
	return &Sender{cfg: cfg, host: host, port: int(number)}, nil
}

// Send sends a text to an address. It tries four times, with back-off, unless the server refuses the mail for good.
func (s *Sender) Send(ctx context.Context, to, subject, text string) error {
	m := smtp.NewMsg()
	if err := m.From(s.cfg.From); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if err := m.To(to); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	m.Subject(subject)
	m.SetDate()
	m.SetMessageID()
	m.SetBodyString(smtp.TypeTextPlain, text)
	var err error
	for n := range attempts {
		if n > 0 {
			wait := s.cfg.wait << (n - 1)
			select {
			case <-ctx.Done():
				return fmt.Errorf("send mail: %w", err)
			case <-time.After(wait/2 + rand.N(wait)):
			}
		}
		if err = s.once(ctx, m); err == nil {
			return nil
		}
		var refused *smtp.SendError
		if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
			break
		}
	}
	return fmt.Errorf("send mail by %s: %w", s.cfg.Server, err)
}

func (s *Sender) once(ctx context.Context, m *smtp.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	options := []smtp.Option{smtp.WithPort(s.port), smtp.WithTimeout(dialTimeout),
		smtp.WithTLSConfig(&tls.Config{ServerName: s.host, RootCAs: s.cfg.Roots, MinVersion: tls.VersionTLS12})}
	switch s.cfg.Protection {
	case StartTLS:
		options = append(options, smtp.WithTLSPolicy(smtp.TLSMandatory))
	case TLS:
		options = append(options, smtp.WithSSL())
	case Plain:
		options = append(options, smtp.WithTLSPolicy(smtp.NoTLS))
	}
	if s.cfg.User != "" {
		options = append(options, smtp.WithSMTPAuth(smtp.SMTPAuthAutoDiscover), smtp.WithUsername(s.cfg.User), smtp.WithPassword(s.cfg.Password))
	}
	client, err := smtp.NewClient(s.host, options...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, m)
}
