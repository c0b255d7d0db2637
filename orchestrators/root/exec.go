// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// Bounds of a command.
const (
	maxArguments    = 1024
	maxCommandBytes = 24 << 10 // below what a message of a stream takes, quoted
)

type execQuery struct {
	Command []string `query:"command" description:"the program and its arguments, each one a parameter of this name"`
	TTY     bool     `query:"tty" description:"give it a terminal"`
	Stdin   bool     `query:"stdin" description:"input will be sent"`
	Columns int      `query:"columns" description:"of the terminal"`
	Rows    int      `query:"rows" description:"of the terminal"`
	Window  int      `query:"window" description:"how many bytes may be on the way before credit is given; without, no credit is needed"`
}

func execStart(c echo.Context) (wire.StreamStartMessage, error) {
	q := &query{c: c}
	e := &wire.ExecStart{Command: c.QueryParams()["command"], TTY: q.flag("tty"), Stdin: q.flag("stdin")}
	if n := q.number("columns", 1<<16-1); n != nil {
		e.Columns = uint16(*n)
	}
	if n := q.number("rows", 1<<16-1); n != nil {
		e.Rows = uint16(*n)
	}
	bytes := 0
	for _, a := range e.Command {
		bytes += len(a)
	}
	switch {
	case len(e.Command) == 0 || e.Command[0] == "":
		q.refuse("command", "given, once for the program and once for each argument")
	case len(e.Command) > maxArguments || bytes > maxCommandBytes:
		q.refuse("command", "of 1024 arguments and 24 KiB at most")
	}
	return wire.StreamStartMessage{Exec: e, Window: q.window()}, q.err
}

// exec runs a command in an instance.
func (r *Root) exec(c echo.Context) error {
	key, err := instanceOf(c)
	if err != nil {
		return err
	}
	start, err := execStart(c)
	if err != nil {
		return err
	}
	if !stream.IsUpgrade(c.Request()) {
		c.Response().Header().Set("Upgrade", "websocket")
		return httpapi.NewProblem(http.StatusUpgradeRequired, "websocket_needed", "this is for WebSockets: use oak exec, or send Upgrade: websocket")
	}
	return r.spliceUser(c, key, start, mayProvide)
}

// spliceUser opens a stream and connects the user with it until either end goes, or the user's login or his rights.
func (r *Root) spliceUser(c echo.Context, key wire.InstanceKey, start wire.StreamStartMessage, may func(users.Principal) bool) error {
	p := principal(c)
	leave, err := r.streams.enter(p.ID)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := r.whileLoggedIn(c.Request().Context(), p, may)
	defer cancel()
	lower, err := r.openStream(ctx, key, start)
	if err != nil {
		return err
	}
	if start.Exec != nil {
		r.log.Info("command in an instance", "user", p.Name, "organization", p.Organization, "instance", key.String(), "program", start.Exec.Command[0])
	}
	upper, err := stream.Accept(c.Response(), c.Request())
	if err != nil {
		lower.Abort(err)
		return nil // it has been answered
	}
	if err := upper.Send(wire.StreamStart, []byte("{}")); err != nil {
		lower.Abort(err)
		return nil
	}
	if err := stream.Splice(ctx, upper, lower, "the cluster"); err != nil {
		r.log.Debug("stream ended", "instance", key.String(), "error", err)
	}
	return nil
}
