// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// Terms of a token unless the request names others, and the longest.
const (
	defaultTokenTTL = time.Hour
	maxTokenTTL     = 365 * 24 * time.Hour
)

// tokenBody asks for a join token.
type tokenBody struct {
	// Role is what the bearer may join as, "cluster" if empty: no other joins root.
	Role string `json:"role"`
	// Audience is the installation that it is for: this one, if empty.
	Audience string `json:"audience"`
	// TTLSeconds is for how long it is good, an hour if 0.
	TTLSeconds int `json:"ttl_s"`
	// Uses is how often it can be used, once if 0.
	Uses int `json:"uses"`
}

// tokenJSON is a join token as it is listed: without its value.
type tokenJSON struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"`
	Audience  string    `json:"audience"`
	UsesLeft  int       `json:"uses_left"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Expired   bool      `json:"expired"`
}

// createdToken is a join token, and its value, which is not told again.
type createdToken struct {
	tokenJSON
	Token string `json:"token"`
}

func (r *Root) showToken(t identity.TokenInfo) tokenJSON {
	return tokenJSON{ID: t.ID, Role: t.Role, Audience: r.ca.ID(), UsesLeft: t.UsesLeft, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, Expired: t.Expired}
}

// createToken issues a join token. It takes no idempotency key: its answer is a secret, which is not kept.
func (r *Root) createToken(c echo.Context) error {
	body := tokenBody{Role: pki.RoleCluster, Uses: 1, TTLSeconds: int(defaultTokenTTL / time.Second)}
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	refuse := func(path, format string, args ...any) error {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_token_request", format, args...).At(path)
	}
	switch {
	case body.Role != pki.RoleCluster:
		return refuse("$.role", "must be %s: workers join their cluster, which issues tokens of its own (cluster-orchestrator token create)", pki.RoleCluster)
	case body.Audience != "" && body.Audience != r.ca.ID():
		return refuse("$.audience", "must be this installation, %s: tokens of another one are issued there", r.ca.ID())
	case body.TTLSeconds < 1 || body.TTLSeconds > int(maxTokenTTL/time.Second):
		return refuse("$.ttl_s", "must be from 1 to %d, a year", int(maxTokenTTL/time.Second))
	case body.Uses < 1 || body.Uses > identity.MaxTokenUses:
		return refuse("$.uses", "must be from 1 to %d", identity.MaxTokenUses)
	}
	ctx := c.Request().Context()
	token, err := r.ca.IssueToken(ctx, body.Role, time.Duration(body.TTLSeconds)*time.Second, body.Uses)
	if err != nil {
		return err
	}
	info, err := r.ca.Token(ctx, token.ID)
	if err != nil {
		return err
	}
	r.log.Info("join token issued", "token", token.ID, "role", body.Role, "uses", body.Uses, "expires", info.ExpiresAt, "by", principal(c).ID)
	return c.JSON(http.StatusOK, createdToken{r.showToken(info), token.String()})
}

func (r *Root) listTokens(c echo.Context) error {
	list, err := r.ca.Tokens(c.Request().Context())
	if err != nil {
		return err
	}
	out := make([]tokenJSON, 0, len(list))
	for _, t := range list {
		out = append(out, r.showToken(t))
	}
	if out, err = httpapi.Select(c, out, func(t tokenJSON) string { return t.CreatedAt.UTC().Format(sortableTime) + t.ID }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// sortableTime is a form of times whose texts are ordered as they are, of one length.
const sortableTime = "2006-01-02T15:04:05.000000"

func (r *Root) revokeToken(c echo.Context) error {
	id := c.Param("token")
	known, err := r.ca.RevokeToken(c.Request().Context(), id)
	if err != nil {
		return err
	}
	if !known {
		return notFound("token", id)
	}
	r.log.Info("join token revoked", "token", id, "by", principal(c).ID)
	return c.JSON(http.StatusOK, message("token revoked"))
}
