// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// joinBy joins with a token and returns the status, and the code of the refusal.
func (s *system) joinBy(token, name string) (int, string) {
	s.t.Helper()
	key, err := pki.NewKey()
	require.NoError(s.t, err)
	csr, err := pki.NewCSR(key)
	require.NoError(s.t, err)
	status, body, err := request(s.pinned(), token, http.MethodPost, s.tls+wire.PathClusterJoin,
		wire.ClusterJoinRequest{Format: wire.Format, CSR: string(csr), Name: name})
	require.NoError(s.t, err)
	code, _ := body.(map[string]any)["code"].(string)
	return status, code
}

func TestTokensByTheAPI(t *testing.T) {
	s := start(t)
	made := s.ok(http.MethodPost, "/api/v1/tokens", map[string]any{"role": "cluster", "audience": s.root.CA().ID(), "ttl_s": 60, "uses": 2}).(map[string]any)
	value, id := made["token"].(string), made["id"].(string)
	once := s.ok(http.MethodPost, "/api/v1/tokens", map[string]any{}).(map[string]any)
	require.EqualValues(t, 1, once["uses_left"])

	// To ask about it spends nothing.
	inspect := func(token string) int {
		status, _, err := request(s.pinned(), token, http.MethodGet, s.tls+wire.PathClusterJoin, nil)
		require.NoError(t, err)
		return status
	}
	for range 3 {
		require.Equal(t, 200, inspect(value))
	}
	require.Equal(t, 401, inspect(""))

	// Within its terms, as often as they say.
	for i, want := range []int{200, 200, 401} {
		status, code := s.joinBy(value, []string{"a", "b", "c"}[i])
		require.Equal(t, want, status, code)
	}
	require.Equal(t, 401, inspect(value))
	list := s.ok(http.MethodGet, "/api/v1/tokens", nil).([]any)
	require.Len(t, list, 2)
	first := list[0].(map[string]any)
	require.Equal(t, id, first["id"])
	require.EqualValues(t, 0, first["uses_left"])
	require.NotContains(t, first, "token", "a value is told once")
	require.Len(t, s.ok(http.MethodGet, "/api/v1/tokens?limit=1", nil), 1)

	// Not after its time, nor once it is revoked.
	late := s.ok(http.MethodPost, "/api/v1/tokens", map[string]any{"ttl_s": 1}).(map[string]any)
	_, err := s.pool.Exec(t.Context(), `UPDATE join_token SET expires_at = now() WHERE id = $1`, late["id"])
	require.NoError(t, err)
	status, _ := s.joinBy(late["token"].(string), "d")
	require.Equal(t, 401, status)
	s.ok(http.MethodDelete, "/api/v1/tokens/"+once["id"].(string), nil)
	status, _ = s.joinBy(once["token"].(string), "d")
	require.Equal(t, 401, status)
	s.wants(404, s.admin, http.MethodDelete, "/api/v1/tokens/"+once["id"].(string), nil)
	require.Len(t, s.ok(http.MethodGet, "/api/v1/clusters", nil), 2)

	// A token of one's own making is none.
	forged, err := pki.ParseToken(value)
	require.NoError(t, err)
	forged.Secret = pki.NewSecret()
	status, _ = s.joinBy(forged.String(), "d")
	require.Equal(t, 401, status)

	for path, body := range map[string]map[string]any{
		"$.role": {"role": "worker"}, "$.audience": {"audience": "elsewhere"}, "$.ttl_s": {"ttl_s": -1}, "$.uses": {"uses": 1_000_000_000},
		"$.more": {"more": 1},
	} {
		problem := s.wants(422, s.admin, http.MethodPost, "/api/v1/tokens", body)
		require.Equal(t, path, problem["path"])
	}
	eve := s.user("eve")
	for _, call := range []string{"GET /api/v1/tokens", "POST /api/v1/tokens", "DELETE /api/v1/tokens/" + id} {
		method, path, _ := strings.Cut(call, " ")
		s.wants(403, eve, method, path, nil)
	}
}
