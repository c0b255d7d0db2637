// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

// scripted answers each request with the next of its answers, the last one for ever, and counts them.
type scripted struct {
	answers []func(w http.ResponseWriter, r *http.Request)
	n       atomic.Int32
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := int(s.n.Add(1)) - 1
	s.answers[min(i, len(s.answers)-1)](w, r)
}

func say(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func connect(t *testing.T, o client.Options, answers ...func(http.ResponseWriter, *http.Request)) (*client.Client, *scripted) {
	t.Helper()
	s := &scripted{answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	o.URL = server.URL
	c, err := client.New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, s
}

func TestNewRefusesAddresses(t *testing.T) {
	for _, bad := range []string{"", "localhost:10000", "ftp://x", "http://", "http://u:p@h", "http://h?x=1", "http://h\x00"} {
		_, err := client.New(client.Options{URL: bad})
		assert.ErrorIs(t, err, client.ErrURL, bad)
	}
}

func TestProblemBecomesError(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		want   client.Error
	}{
		"problem": {422, `{"status":422,"code":"invalid_descriptor","detail":"expected an integer","path":"$.a","message":"$.a: expected an integer",
			"errors":[{"path":"$.a","reason":"expected an integer"}]}`,
			client.Error{Code: "invalid_descriptor", Path: "$.a", Detail: "expected an integer", Faults: []client.Fault{{Path: "$.a", Reason: "expected an integer"}}}},
		"message only": {409, `{"message":"exists already"}`, client.Error{Detail: "exists already"}},
		"proxy":        {404, "<html>\nnothing here", client.Error{Detail: "<html>"}},
		"empty":        {500, "", client.Error{Detail: "no explanation"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := connect(t, client.Options{}, say(tc.status, tc.body))
			_, err := c.Clusters(t.Context())
			var got *client.Error
			require.ErrorAs(t, err, &got)
			tc.want.Status, tc.want.Method, tc.want.URL = tc.status, "GET", c.URL()+"/api/v1/clusters"
			assert.Equal(t, tc.want, *got)
			assert.True(t, client.HasStatus(err, 1, tc.status))
			assert.False(t, client.HasStatus(err, 1))
			assert.False(t, client.IsUnreachable(err))
			assert.Contains(t, err.Error(), tc.want.Detail)
		})
	}
}

func TestRepeatableCallsAreRetriedBounded(t *testing.T) {
	c, s := connect(t, client.Options{}, say(503, "{}"), say(502, "{}"), say(200, "[]"))
	_, err := c.Clusters(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 3, s.n.Load())

	c, s = connect(t, client.Options{Attempts: 2}, say(503, "{}"))
	_, err = c.Clusters(t.Context())
	assert.True(t, client.HasStatus(err, 503))
	assert.EqualValues(t, 2, s.n.Load())

	c, s = connect(t, client.Options{}, say(500, "{}"))
	require.Error(t, c.DeleteService(t.Context(), "x"))
	assert.EqualValues(t, 1, s.n.Load(), "a 500 does not go away by itself")
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestOthersAreSentOnce(t *testing.T) {
	c, s := connect(t, client.Options{}, say(503, "{}"))
	_, err := c.RollbackService(t.Context(), "x", 1)
	require.Error(t, err)
	assert.EqualValues(t, 1, s.n.Load())

	c, s = connect(t, client.Options{}, hangUp)
	_, err = c.RollbackService(t.Context(), "x", 1)
	assert.True(t, client.IsUnreachable(err), "%v", err)
	assert.EqualValues(t, 1, s.n.Load())
}

// What creates something is sent again with the same key, and the next thing with another one. A server that remembers no more keys is asked
// once without.
func TestCreatesAreSentAgainWithTheirKey(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	noting := func(next func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			mu.Unlock()
			next(w, r)
		}
	}
	c, _ := connect(t, client.Options{}, noting(hangUp), noting(say(503, "{}")), noting(say(200, "{}")))
	require.NoError(t, c.AddInstance(t.Context(), "x"))
	require.NoError(t, c.AddInstance(t.Context(), "x"))
	require.Len(t, keys, 4)
	assert.GreaterOrEqual(t, len(keys[0]), 20)
	assert.Equal(t, []string{keys[0], keys[0]}, keys[1:3])
	assert.NotEqual(t, keys[0], keys[3])

	keys = nil
	c, _ = connect(t, client.Options{}, noting(say(429, `{"code":"too_many_keys"}`)), noting(hangUp))
	_, err := c.CreateApplication(t.Context(), []byte("{}"))
	assert.True(t, client.IsUnreachable(err), "%v", err)
	require.Len(t, keys, 2)
	assert.NotEmpty(t, keys[0])
	assert.Empty(t, keys[1])
}

func TestContextEndsRetries(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, s := connect(t, client.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
		time.AfterFunc(20*time.Millisecond, cancel)
	})
	start := time.Now()
	_, err := c.Clusters(ctx)
	require.Error(t, err)
	assert.True(t, client.HasStatus(err, 503), "the last refusal is told: %v", err)
	assert.EqualValues(t, 1, s.n.Load())
	assert.Less(t, time.Since(start), 4*time.Second)
}

func TestAttemptTimesOut(t *testing.T) {
	c, _ := connect(t, client.Options{Timeout: 30 * time.Millisecond, Attempts: 1}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := c.Clusters(t.Context())
	assert.True(t, client.IsUnreachable(err), "%v", err)
}

func TestLoginAndRenewal(t *testing.T) {
	bearer := func(want string, next func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, want, r.Header.Get("Authorization"), r.URL.Path)
			next(w, r)
		}
	}
	login := func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&body))
		assert.Equal(t, map[string]string{"username": "Admin", "password": "secret", "organization_name": "root"}, body)
		say(200, `{"token":"t1","refresh_token":"r1"}`)(w, r)
	}
	var kept []string
	c, s := connect(t, client.Options{OnTokens: func(a, b string) { kept = append(kept, a+" "+b) }},
		bearer("", login),
		bearer("Bearer t1", say(401, `{}`)),
		bearer("Bearer r1", say(200, `{"token":"t2"}`)),
		bearer("Bearer t2", say(200, `[]`)))
	require.NoError(t, c.Login(t.Context(), "Admin", "secret", "root"))
	_, err := c.Clusters(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 4, s.n.Load())
	assert.Equal(t, []string{"t1 r1", "t2 r1"}, kept)
}

func TestLapsedLoginIsTheFirstRefusal(t *testing.T) {
	c, s := connect(t, client.Options{Token: "t", RefreshToken: "r"}, say(401, `{"detail":"expired"}`), say(401, `{"detail":"refresh expired"}`))
	_, err := c.Clusters(t.Context())
	require.True(t, client.HasStatus(err, 401))
	assert.Contains(t, err.Error(), ": expired")
	assert.EqualValues(t, 2, s.n.Load())
}

func TestTokensFollowNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Error("redirect followed to", r.URL) }))
	t.Cleanup(other.Close)
	c, _ := connect(t, client.Options{Token: "t"}, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	_, err := c.Clusters(t.Context())
	assert.True(t, client.HasStatus(err, 302), "%v", err)
}

func TestStrangeAnswerIsNamed(t *testing.T) {
	c, _ := connect(t, client.Options{}, say(200, "<html>"))
	_, err := c.Clusters(t.Context())
	assert.ErrorContains(t, err, "is this root's API?")
}

func TestPathsAreEscaped(t *testing.T) {
	var got string
	c, _ := connect(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) { got = r.RequestURI; say(200, "{}")(w, r) })
	_, err := c.Service(t.Context(), "../auth?x")
	require.NoError(t, err)
	assert.Equal(t, "/api/service/..%2Fauth%3Fx", got)
}

func TestIDForms(t *testing.T) {
	var ids []client.ID
	require.NoError(t, json.Unmarshal([]byte(`["a",{"$oid":"b"}]`), &ids))
	assert.Equal(t, []client.ID{"a", "b"}, ids)
	require.Error(t, json.Unmarshal([]byte(`[1]`), &ids))
}

func TestClaims(t *testing.T) {
	c, err := client.New(client.Options{URL: "http://x", Token: "e30.eyJzdWIiOiJhYmMiLCJyb2xlcyI6WyJBZG1pbiJdfQ.sig"})
	require.NoError(t, err)
	assert.Equal(t, client.Claims{Subject: "abc", Roles: []string{"Admin"}}, c.Claims())
	for _, strange := range []string{"", "a.b", "a.!.c", "a.e30x.c"} {
		c, err := client.New(client.Options{URL: "http://x", Token: strange})
		require.NoError(t, err)
		assert.Empty(t, c.Claims().Subject)
	}
}

func TestNothingListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := client.New(client.Options{URL: server.URL, Attempts: 2})
	require.NoError(t, err)
	_, err = c.Clusters(t.Context())
	assert.True(t, client.IsUnreachable(err))
	assert.True(t, strings.HasPrefix(err.Error(), "reach "+server.URL), err.Error())
	var refused *client.Error
	assert.False(t, errors.As(err, &refused))
}
