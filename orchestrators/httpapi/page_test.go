// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// serve answers one request of an Echo that has the handler at /x.
func serve(e *echo.Echo, method, url string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, url, strings.NewReader(""))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, req)
	return rec
}

func TestPagesAddUpToTheList(t *testing.T) {
	e := httpapi.New(quiet())
	all := []string{"e", "b", "a", "d", "c"}
	e.GET("/x", func(c echo.Context) error {
		list, err := httpapi.Select(c, all, func(s string) string { return s })
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, list)
	})
	require.JSONEq(t, `["e","b","a","d","c"]`, serve(e, http.MethodGet, "/x").Body.String(), "without a page as it was")
	for limit := 1; limit <= 6; limit++ {
		var got strings.Builder
		pages := 0
		for next := fmt.Sprintf("/x?limit=%d&other=kept", limit); next != ""; pages++ {
			rec := serve(e, http.MethodGet, next)
			require.Equal(t, 200, rec.Code, rec.Body)
			got.WriteString(strings.Trim(strings.TrimSpace(rec.Body.String()), "[]") + ",")
			link := rec.Header().Get("Link")
			next, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
			if next != "" {
				require.Contains(t, next, "other=kept")
				require.Contains(t, link, `rel="next"`)
			}
		}
		require.Equal(t, `"a","b","c","d","e",`, got.String())
		require.Equal(t, (5+limit-1)/limit, pages)
	}
	for _, bad := range []string{"limit=0", "limit=-1", "limit=1001", "limit=x", "limit=99999999999999999999", "cursor=!", "cursor=W10", "cursor=WyJcdTAwMDAiXQ"} {
		require.Equal(t, 422, serve(e, http.MethodGet, "/x?"+bad).Code, bad)
	}
}

func TestTags(t *testing.T) {
	e := httpapi.New(quiet())
	value := "one"
	e.GET("/x", func(c echo.Context) error { return httpapi.Tagged(c, value) })
	e.PUT("/x", func(c echo.Context) error {
		if err := httpapi.IfMatch(c, value); err != nil {
			return err
		}
		value = "two"
		return c.NoContent(http.StatusOK)
	})
	tag := serve(e, http.MethodGet, "/x").Header().Get("ETag")
	require.NotEmpty(t, tag)
	for header, want := range map[string]int{tag: 304, `"other", W/` + tag: 304, "*": 304, `"other"`: 200} {
		require.Equal(t, want, serve(e, http.MethodGet, "/x", "If-None-Match", header).Code, header)
	}
	require.Equal(t, 412, serve(e, http.MethodPut, "/x", "If-Match", `"other"`).Code)
	require.Equal(t, "one", value)
	require.Equal(t, 200, serve(e, http.MethodPut, "/x", "If-Match", tag).Code)
	require.Equal(t, 412, serve(e, http.MethodPut, "/x", "If-Match", tag).Code, "it has changed since")
	require.Equal(t, 200, serve(e, http.MethodPut, "/x", "If-Match", "*").Code)
	require.Equal(t, 200, serve(e, http.MethodPut, "/x").Code)
}
