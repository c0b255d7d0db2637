// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// Headers of conditional requests (RFC 9110, section 13).
const (
	headerETag        = "ETag"
	headerIfMatch     = "If-Match"
	headerIfNoneMatch = "If-None-Match"
)

// TagOf returns the entity tag of a value: of its JSON.
func TagOf(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("tag an answer: %w", err)
	}
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:12]) + `"`, nil
}

// Tagged answers with v and its entity tag, or with 304 to whoever has it already.
func Tagged(c echo.Context, v any) error {
	tag, err := TagOf(v)
	if err != nil {
		return err
	}
	c.Response().Header().Set(headerETag, tag)
	if matches(c.Request().Header.Values(headerIfNoneMatch), tag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSON(http.StatusOK, v)
}

// SetTag sets the entity tag of what a change of the thing is checked against, where an answer holds more than that, which changes by
// itself.
func SetTag(c echo.Context, v any) error {
	tag, err := TagOf(v)
	if err == nil {
		c.Response().Header().Set(headerETag, tag)
	}
	return err
}

// IfMatch refuses a request with 412 that names entity tags (If-Match) among which that of v is not: somebody has changed the thing since
// the client read it. To be of use it runs in the transaction of the change, under the row's lock.
func IfMatch(c echo.Context, v any) error {
	want := c.Request().Header.Values(headerIfMatch)
	if len(want) == 0 {
		return nil
	}
	tag, err := TagOf(v)
	if err != nil || matches(want, tag) {
		return err
	}
	return NewProblem(http.StatusPreconditionFailed, "changed_meanwhile",
		"it has changed since you read it (it is %s now): read it again, and make your change on what it is", tag)
}

// matches reports whether a list of entity tags names one. Weak ones are compared as the strong: no tag here is weak, and proxies that
// compress make weak ones of ours.
func matches(headers []string, tag string) bool {
	for _, one := range strings.Split(strings.Join(headers, ","), ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || one == tag {
			return true
		}
	}
	return false
}
