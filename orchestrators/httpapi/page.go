// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// MaxPage is the most that one page of a list holds.
const MaxPage = 1000

// PageQuery are the parameters of every list that can be read in pages, for its description.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" description:"how many to answer at most; without it all"`
	Cursor string `query:"cursor" description:"where to go on: that of the header Link of the page before"`
}

// Page is the part of a list that a request asks for.
type Page struct {
	// Limit is how many are wanted, 0 for all.
	Limit int
	// After are the sort keys of the last entry of the page before; nil at the start.
	After []string
}

// PageOf reads which part of a list is asked for. An entry of the list has so many sort keys, which together are unique.
func PageOf(c echo.Context, keys int) (p Page, err error) {
	if text := c.QueryParam("limit"); text != "" {
		if p.Limit, err = strconv.Atoi(text); err != nil || p.Limit < 1 || p.Limit > MaxPage {
			return p, NewProblem(http.StatusUnprocessableEntity, "invalid_limit", "limit must be a number from 1 to %d", MaxPage)
		}
	}
	text := c.QueryParam("cursor")
	if text == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &p.After) != nil || len(p.After) != keys || slices.ContainsFunc(p.After, func(k string) bool { return strings.ContainsRune(k, 0) }) {
		return p, NewProblem(http.StatusUnprocessableEntity, "invalid_cursor", "cursor must be one of a page of this list: begin again without it")
	}
	if p.Limit == 0 {
		p.Limit = MaxPage
	}
	return p, nil
}

// Cut shortens what was read of a list, one more than the limit where there is more, to the page, and tells the client where to go on:
// in a header Link (RFC 8288) with the relation next. key returns an entry's sort keys.
func Cut[T any](c echo.Context, p Page, list []T, key func(T) []string) []T {
	if p.Limit == 0 || len(list) <= p.Limit {
		return list
	}
	list = list[:p.Limit]
	raw, err := json.Marshal(key(list[p.Limit-1]))
	if err != nil {
		return list // texts marshal
	}
	next := url.URL{Path: c.Request().URL.Path}
	query := c.Request().URL.Query()
	query.Set("limit", strconv.Itoa(p.Limit))
	query.Set("cursor", base64.RawURLEncoding.EncodeToString(raw))
	next.RawQuery = query.Encode()
	c.Response().Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	return list
}

// Select returns the page that is asked for of a whole list in memory, ordered by the key, which is unique. Without a page it is the list
// as it was.
func Select[T any](c echo.Context, list []T, key func(T) string) ([]T, error) {
	p, err := PageOf(c, 1)
	if err != nil || p.Limit == 0 {
		return list, err
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if p.After != nil {
		list = slices.DeleteFunc(list, func(one T) bool { return key(one) <= p.After[0] })
	}
	return Cut(c, p, list, func(one T) []string { return []string{key(one)} }), nil
}
