// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func clientOf(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return &Client{bases: []string{s.URL}, id: "c", http: s.Client()}
}

func TestRefusalCarriesRootsOwnWords(t *testing.T) {
	c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"message":"join again"}`))
	})
	_, err := c.Report(t.Context(), &wire.ClusterReport{})
	var refusal *Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, Refusal{Status: 404, Detail: "join again"}, *refusal)
}

func TestDesired(t *testing.T) {
	body := ""
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/api/v1/clusters/c/desired?epoch=7&since=3&wait=1s", r.URL.RequestURI())
		_, _ = w.Write([]byte(body))
	})
	for text, want := range map[string]struct {
		news bool
		err  string
	}{
		`{"format":1,"epoch":7,"revision":3}`:             {},
		`{"format":1,"epoch":7,"revision":4}`:             {news: true},
		`{"format":1,"epoch":5,"revision":9,"full":true}`: {news: true},
		`{"format":2,"epoch":7,"revision":4}`:             {err: "newer than this program"},
		`{"format":1,`:                                    {err: "read answer"},
	} {
		body = text
		d, err := c.Desired(t.Context(), wire.Stamp{Epoch: 7, Revision: 3}, time.Second)
		if want.err != "" {
			require.ErrorContains(t, err, want.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want.news, d != nil, text)
	}
}

// TestNextRootIsAsked: a root process that is gone, or has no database, is left for the next; one that refuses is right.
func TestNextRootIsAsked(t *testing.T) {
	asked := map[string]int{}
	serve := func(name string, status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked[name]++
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"format":1}`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c := &Client{bases: []string{gone.URL, serve("sick", 503), serve("well", 200)}, id: "c", http: http.DefaultClient}
	for range 2 {
		_, err := c.Report(t.Context(), &wire.ClusterReport{})
		require.Error(t, err)
	}
	for range 3 {
		_, err := c.Report(t.Context(), &wire.ClusterReport{})
		require.NoError(t, err)
	}
	require.Equal(t, map[string]int{"sick": 1, "well": 3}, asked)
	c.bases[2] = serve("refuses", 409)
	for range 3 {
		_, err := c.Report(t.Context(), &wire.ClusterReport{})
		require.Error(t, err)
	}
	require.Equal(t, 3, asked["refuses"])
}
