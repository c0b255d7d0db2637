// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// onPage returns what a query of a list ends with, to be read in the order of a time and an id, from where a page begins, and one row more
// than it holds; and the query's parameters with those that this needs. Columns are this package's own words, never a user's.
func onPage(p httpapi.Page, at, id string, args []any) (string, []any) {
	sql := ""
	if p.After != nil {
		sql = fmt.Sprintf(" AND (%s, %s) > ($%d::timestamptz, $%d)", at, id, len(args)+1, len(args)+2)
		args = append(args, p.After[0]+"Z", p.After[1])
	}
	sql += fmt.Sprintf(" ORDER BY %s, %s", at, id)
	if p.Limit > 0 {
		sql += fmt.Sprintf(" LIMIT $%d", len(args)+1)
		args = append(args, p.Limit+1)
	}
	return sql, args
}

// timedPage is httpapi.PageOf for lists in the order of a time and an id.
func timedPage(p httpapi.Page, err error) (httpapi.Page, error) {
	if err != nil || p.After == nil {
		return p, err
	}
	if _, err := time.Parse(sortableTime, p.After[0]); err != nil {
		return p, badCursor()
	}
	return p, nil
}

// numberedPage is httpapi.PageOf for lists in the order of an id and a number, which it returns.
func numberedPage(p httpapi.Page, err error) (_ httpapi.Page, number int64, _ error) {
	if err != nil || p.After == nil {
		return p, 0, err
	}
	number, err = strconv.ParseInt(p.After[len(p.After)-1], 10, 64)
	if err != nil {
		return p, 0, badCursor()
	}
	return p, number, nil
}

func badCursor() error {
	return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_cursor", "cursor must be one of a page of this list: begin again without it")
}
