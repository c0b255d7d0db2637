// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// maxSelectors bounds the labels that one request asks for.
const maxSelectors = 16

type servicesQuery struct {
	Label string `query:"label" description:"only services with this label: NAME=VALUE, or NAME for any value; repeatable, all have to be there"`
	httpapi.PageQuery
}

// labelled returns the condition on a service s that a request's ?label= asks for, and args with what that needs.
func labelled(c echo.Context, args []any) (sql string, _ []any, err error) {
	wanted := c.QueryParams()["label"]
	if len(wanted) > maxSelectors {
		return "", nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_label", "label is there %d times, at most %d are looked at", len(wanted), maxSelectors)
	}
	for _, text := range wanted {
		name, value, exact := strings.Cut(text, "=")
		if name == "" || strings.ContainsRune(text, 0) {
			return "", nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_label", "label must be NAME=VALUE or NAME")
		}
		n := len(args) + 1
		if exact {
			sql += fmt.Sprintf(" AND s.descriptor->'labels'->>$%d = $%d", n, n+1)
			args = append(args, name, value)
		} else {
			sql += fmt.Sprintf(" AND s.descriptor->'labels' ? $%d", n)
			args = append(args, name)
		}
	}
	return sql, args, nil
}
