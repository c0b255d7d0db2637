// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/config"
)

// The exit codes that only oak has; the others are cmdline's.
const (
	ExitTimedOut = 4
	ExitAuth     = 5
)

const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 timed out waiting, 5 not logged in or not allowed.`

// codeOf returns the exit code for an error.
func codeOf(err error) int {
	switch {
	case err == nil, cmdline.HasCode(err):
		return cmdline.Code(err)
	case errors.Is(err, client.ErrURL), errors.Is(err, config.ErrKey):
		return cmdline.Usage
	case client.HasStatus(err, http.StatusUnauthorized, http.StatusForbidden):
		return ExitAuth
	case client.HasStatus(err, http.StatusNotFound):
		return cmdline.NotFound
	}
	return cmdline.Failed
}

// explain makes of an error what a person needs: what failed, why, and the way out.
func explain(err error) string {
	text := err.Error()
	var refused *client.Error
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &refused):
		// Only the reason: the request is of interest to nobody but the server's log, save where the server gave none.
		what := strings.TrimSuffix(text, refused.Error())
		text = what + refusal(refused)
	case errors.As(err, &authority):
		text += "\nRoot's certificate is of its own authority: give --ca-file or --ca-hash (keep it with `oak config set`)."
	case strings.Contains(text, "verify server"): // by --ca-hash
		text += "\nIs --ca-hash that of this root's authority? It is the last part of a join token that this root has issued."
	case errors.Is(err, http.ErrSchemeMismatch):
		text += "\nIs this plain http? Try http:// in --url."
	case errors.Is(err, context.Canceled):
		text = "interrupted"
	case client.IsUnreachable(err):
		text += "\nIs root-orchestrator running there? Set its address with --url, OAK_URL or `oak config set url URL`."
	}
	return text
}

// refusal tells a server's refusal, with the path of what it refused.
func refusal(e *client.Error) string {
	switch {
	case len(e.Faults) > 0:
		lines := []string{"the server refused it:"}
		for _, f := range e.Faults {
			lines = append(lines, "  "+f.Path+": "+f.Reason)
		}
		return strings.Join(lines, "\n")
	case e.Path != "":
		return fmt.Sprintf("the server refused it:\n  %s: %s", e.Path, e.Detail)
	case e.Status == http.StatusUnauthorized:
		return e.Detail + "\nLog in with `oak login`."
	case e.Code == "":
		return e.Error() // no server of ours: a proxy, or another program at that address
	}
	return e.Detail
}
