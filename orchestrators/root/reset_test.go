// SPDX-License-Identifier: Apache-2.0

package root

import (
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/mail"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/mail/mailtest"
)

var resetLink = regexp.MustCompile(`https://dashboard\.example/resetPassword/(\S+)`)

func TestALostPasswordIsSetByAMail(t *testing.T) {
	s := start(t)
	server := mailtest.Start(t, nil)
	sender, err := mail.New(mail.Config{Server: server.Addr, From: "oakestra@example.org", Protection: mail.Plain})
	require.NoError(t, err)
	link, err := url.Parse("https://dashboard.example")
	require.NoError(t, err)
	s.root.mail = &Mail{Send: sender.Send, Link: link}
	eve := s.user("eve")
	s.ok(http.MethodPut, "/api/user/eve", map[string]any{"email": "eve@example.org"})
	s.user("mute") // has no address

	problem := s.wants(422, "", http.MethodPost, "/api/user/", map[string]any{"username": "eve", "domain": "evil.example"})
	require.Equal(t, "$.domain", problem["path"], "a stranger does not say where the secret goes")
	ask := func(name string) any {
		s.root.perMailer = httpapi.NewLimiter(0)
		return s.wants(200, "", http.MethodPost, "/api/user/", map[string]any{"username": name, "domain": "dashboard.example"})["message"]
	}
	require.Equal(t, ask("eve"), ask("nobody"), "who asks learns nothing of who there is")
	ask("mute")
	require.Eventually(t, func() bool { return len(server.Mails()) == 1 }, 20*time.Second, 10*time.Millisecond)
	got := server.Mails()[0]
	require.Equal(t, "eve@example.org", got.To)
	_, body, _ := strings.Cut(got.Text, "\r\n\r\n")
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	require.NoError(t, err)
	match := resetLink.FindStringSubmatch(string(text))
	require.NotNil(t, match, string(text))
	secret, err := url.PathUnescape(match[1])
	require.NoError(t, err)

	s.wants(422, "", http.MethodPut, "/api/user/", map[string]any{"token": secret, "password": "short"})
	s.wants(401, "", http.MethodPut, "/api/user/", map[string]any{"token": secret + "x", "password": "another password"})
	s.wants(200, "", http.MethodPut, "/api/user/", map[string]any{"token": secret, "password": "another password"})
	s.wants(401, "", http.MethodPut, "/api/user/", map[string]any{"token": secret, "password": "a third password"})
	s.wants(401, eve, http.MethodGet, "/api/services", nil)
	s.wants(200, "", http.MethodPost, "/api/auth/login", map[string]any{"username": "eve", "password": "another password"})
	s.wants(401, "", http.MethodPost, "/api/auth/login", map[string]any{"username": "eve", "password": password})

	// One a minute, and none after its time.
	ask("eve")
	require.Eventually(t, func() bool { return len(server.Mails()) == 2 }, 20*time.Second, 10*time.Millisecond)
	ask("eve")
	ask("eve")
	_, err = s.pool.Exec(t.Context(), `UPDATE password_reset SET expires_at = now(), secret_hash = sha256('s'::bytea)`)
	require.NoError(t, err)
	s.wants(401, "", http.MethodPut, "/api/user/", map[string]any{"token": "s", "password": "a third password"})
	require.Len(t, server.Mails(), 2)
}

func TestMailsOfOneAddressAreLimited(t *testing.T) {
	s := start(t)
	s.root.mail = &Mail{Link: &url.URL{Scheme: "https", Host: "dashboard.example"}}
	s.wants(200, "", http.MethodPost, "/api/user", map[string]any{"username": "nobody"})
	s.wants(429, "", http.MethodPost, "/api/user", map[string]any{"username": "nobody"})
}
