// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// postFile sends a form with one file and returns the status and the answer.
func (s *system) postFile(token, field, name, content string) (int, map[string]any) {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	require.NoError(s.t, form.WriteField("comment", "before the file"))
	part, err := form.CreateFormFile(field, name)
	require.NoError(s.t, err)
	_, err = io.WriteString(part, content)
	require.NoError(s.t, err)
	require.NoError(s.t, form.Close())
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.plain+pathUploads, &body)
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	answer := map[string]any{}
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer
}

// sendFile keeps a file and returns its path.
func (s *system) sendFile(token, name, content string) string {
	s.t.Helper()
	status, answer := s.postFile(token, "file", name, content)
	require.Equal(s.t, 200, status, answer)
	return answer["path"].(string)
}

func TestFiles(t *testing.T) {
	s := start(t)
	eve := s.user("eve")
	path := s.sendFile(eve, "../../etc/app.json", `{"a":"<script>"}`)
	read := func(token string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.plain+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		return resp
	}
	resp := read(eve)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, `{"a":"<script>"}`, string(text))
	require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "attachment; filename=app.json", resp.Header.Get("Content-Disposition"))
	other := read(s.admin)
	require.NoError(t, other.Body.Close())
	require.Equal(t, 404, other.StatusCode, "a file is its owner's alone")

	for name, tc := range map[string]struct {
		field, name, content string
		status               int
	}{
		"a program": {"file", "a.exe", "x", 422}, "no name": {"file", "", "x", 422}, "another field": {"image", "a.txt", "x", 422},
		"binary": {"file", "a.txt", "\xff\xfe", 422}, "too large": {"file", "a.txt", strings.Repeat("x", maxUpload+1), 413},
		"far too large": {"file", "a.txt", strings.Repeat("x", 10<<20), 413},
		"long name":     {"file", strings.Repeat("x", maxFileName) + ".txt", "x", 422},
	} {
		status, answer := s.postFile(eve, tc.field, tc.name, tc.content)
		require.Equal(t, tc.status, status, "%s: %v", name, answer)
	}
	s.wants(415, eve, http.MethodPost, pathUploads, map[string]string{"file": "x"})
	for range maxUploads + 5 {
		s.sendFile(eve, "b.yml", "x")
	}
	_, answer := s.call(eve, http.MethodGet, pathUploads, nil)
	list := answer.([]any)
	require.Len(t, list, maxUploads)
	require.Equal(t, "b.yml", list[0].(map[string]any)["name"])
	require.Empty(t, s.ok(http.MethodGet, pathUploads, nil))
	s.wants(401, "", http.MethodPost, pathUploads, nil)
}
