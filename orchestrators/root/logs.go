// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// maxPause is how long a reader of plain text may take nothing: it cannot be told from one that is gone.
const maxPause = 10 * time.Minute

type logsQuery struct {
	Follow     bool   `query:"follow" description:"go on with what is written from now on, until the instance ends"`
	Tail       int    `query:"tail" description:"how many of the last lines; all if left out"`
	Since      string `query:"since" description:"leave out what is older than that, such as 10m"`
	Timestamps bool   `query:"timestamps" description:"put the time before each line, as its worker has noted it"`
	From       string `query:"from" description:"go on at a position that an earlier stream has told"`
	Window     int    `query:"window" description:"over a WebSocket: how many bytes may be on the way before credit is given; without, no credit is needed"`
}

// query reads parameters, and remembers what is wrong with them.
type query struct {
	c   echo.Context
	err error
}

func (q *query) refuse(key, want string) {
	if q.err == nil {
		q.err = httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_query", "%s must be %s", key, want)
	}
}

func (q *query) flag(key string) bool {
	text := q.c.QueryParam(key)
	if text == "" {
		return q.c.QueryParams().Has(key) // ?follow
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		q.refuse(key, "true or false")
	}
	return v
}

// number reads a whole number; nil if it is left out.
func (q *query) number(key string, most int) *int {
	text := q.c.QueryParam(key)
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		q.refuse(key, "a whole number from 0 to "+strconv.Itoa(most))
	}
	return &n
}

func (q *query) window() int {
	if n := q.number("window", wire.StreamWindow); n != nil {
		return *n
	}
	return 0
}

// maxTail bounds the lines that are counted from the end; more are not kept.
const maxTail = 1 << 30

// maxFrom bounds a position in bytes.
const maxFrom = 200

func logsStart(c echo.Context) (wire.StreamStartMessage, error) {
	q := &query{c: c}
	l := &wire.LogsStart{Follow: q.flag("follow"), Tail: q.number("tail", maxTail), Timestamps: q.flag("timestamps"), From: c.QueryParam("from")}
	if text := c.QueryParam("since"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			q.refuse("since", "a duration such as 10m")
		}
		l.SinceMillis = max(d.Milliseconds(), 1)
	}
	if len(l.From) > maxFrom {
		q.refuse("from", "a position that was told")
	}
	return wire.StreamStartMessage{Logs: l, Window: q.window()}, q.err
}

// logs reads or follows an instance's log.
func (r *Root) logs(c echo.Context) error {
	key, err := instanceOf(c)
	if err != nil {
		return err
	}
	start, err := logsStart(c)
	if err != nil {
		return err
	}
	if stream.IsUpgrade(c.Request()) {
		return r.spliceUser(c, key, start, func(users.Principal) bool { return true })
	}
	leave, err := r.streams.enter(principal(c).ID)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := r.whileLoggedIn(c.Request().Context(), principal(c), func(users.Principal) bool { return true })
	defer cancel()
	start.Window = wire.StreamWindow
	lower, err := r.openStream(ctx, key, start)
	if err != nil {
		return err
	}
	return r.writeLogs(ctx, c, lower)
}

// writeLogs writes a log as text. Whoever reads it is told of an error in the midst by the answer's breaking off.
func (r *Root) writeLogs(ctx context.Context, c echo.Context, lower *stream.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	end := stream.NewEndpoint(lower, 0)
	go func() { _ = end.Run(ctx) }()
	defer func() { cancel(nil); lower.Abort(errors.New("the reader is gone")) }()
	response := c.Response()
	control := http.NewResponseController(response)
	_ = control.SetReadDeadline(time.Time{}) // its time would end the request
	response.Header().Set(echo.HeaderContentType, echo.MIMETextPlainCharsetUTF8)
	response.Header().Set("X-Content-Type-Options", "nosniff")
	response.WriteHeader(http.StatusOK)
	_ = control.SetWriteDeadline(time.Now().Add(maxPause))
	_ = control.Flush()
	for {
		_, data, err := end.Next(ctx)
		if err == nil {
			_ = control.SetWriteDeadline(time.Now().Add(maxPause))
			if _, err = response.Write(data); err == nil {
				err = control.Flush()
			}
		}
		if err == nil {
			err = end.Taken(len(data))
		}
		if errors.Is(err, io.EOF) && end.End() != nil {
			err = stream.ErrorOf(*end.End())
			if err == nil {
				return nil
			}
		}
		if err != nil {
			r.log.Debug("log ended early", "error", err)
			_ = control.SetWriteDeadline(time.Now().Add(-time.Second)) // so that it has no end
			return nil
		}
	}
}
