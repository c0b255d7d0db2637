// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"crypto/x509"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/mail/mailtest"
)

func sender(t *testing.T, cfg Config) *Sender {
	t.Helper()
	cfg.wait = time.Millisecond
	s, err := New(cfg)
	require.NoError(t, err)
	return s
}

func TestAMailArrives(t *testing.T) {
	server := mailtest.Start(t, nil)
	s := sender(t, Config{Server: server.Addr, From: "oakestra@example.org", Protection: Plain})
	server.PutOff(2)
	require.NoError(t, s.Send(t.Context(), "eve@example.org", "Hello", "the text"))
	mails := server.Mails()
	require.Len(t, mails, 1)
	require.Equal(t, "eve@example.org", mails[0].To)
	require.Contains(t, mails[0].Text, "Subject: Hello")
	require.Contains(t, mails[0].Text, "the text")
	server.PutOff(attempts)
	require.ErrorContains(t, s.Send(t.Context(), "eve@example.org", "Hello", "the text"), server.Addr)
	for _, bad := range []string{"", "nobody", "eve@example.org\r\nBCC: all@example.org", "a@b, c@d"} {
		require.Error(t, s.Send(t.Context(), bad, "Hello", "the text"), bad)
	}
	require.Len(t, server.Mails(), 1)
}

func TestAMailGoesThroughTLSOrNotAtAll(t *testing.T) {
	https := httptest.NewUnstartedServer(nil)
	https.StartTLS()
	defer https.Close()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	server := mailtest.Start(t, https.TLS.Clone())
	_, port, err := net.SplitHostPort(server.Addr)
	require.NoError(t, err)
	s := sender(t, Config{Server: "127.0.0.1:" + port, From: "oakestra@example.org", Protection: StartTLS, Roots: roots})
	require.NoError(t, s.Send(t.Context(), "eve@example.org", "Hello", "a secret"))
	require.Len(t, server.Mails(), 1)
	require.NotContains(t, server.Clear(), "eve@")

	untrusted := sender(t, Config{Server: server.Addr, From: "oakestra@example.org", Protection: StartTLS})
	require.Error(t, untrusted.Send(t.Context(), "eve@example.org", "Hello", "a secret"))
	plain := mailtest.Start(t, nil)
	stripped := sender(t, Config{Server: plain.Addr, From: "oakestra@example.org", Protection: StartTLS})
	require.Error(t, stripped.Send(t.Context(), "eve@example.org", "Hello", "a secret"))
	require.Empty(t, plain.Mails())
	require.NotContains(t, plain.Clear(), "eve@")
}

func TestWrongConfiguration(t *testing.T) {
	for _, cfg := range []Config{
		{Server: "host", From: "a@b.c", Protection: Plain}, {Server: "host:0", From: "a@b.c", Protection: Plain},
		{Server: ":25", From: "a@b.c", Protection: Plain}, {Server: "host:25", From: "nobody", Protection: Plain},
		{Server: "host:25", From: "a@b.c", Protection: "perhaps"}, {Server: "host:25", From: "a@b.c", Protection: Plain, User: "u"},
	} {
		_, err := New(cfg)
		require.Error(t, err, cfg)
	}
}
