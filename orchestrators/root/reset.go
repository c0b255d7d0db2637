// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

const (
	// maxResets bounds the requests for mails that wait to be worked on.
	maxResets = 64
	// resetsPerSecond bounds those of one address.
	resetsPerSecond = 1.0 / 6
	// resetTimeout bounds the work on one.
	resetTimeout = 2 * time.Minute
)

// Mail is how users who have lost their password get a link to set a new one.
type Mail struct {
	// Send sends a text to an address.
	Send func(ctx context.Context, to, subject, text string) error
	// Link is where the dashboard is, for the links in mails. What a request says of that is not believed: a stranger would have the link, and
	// with it the secret, lead to himself.
	Link *url.URL
}

// resetBody asks for a mail.
type resetBody struct {
	Username string `json:"username"`
	// Domain is where the dashboard is, as its client believes; it has to be that of the installation, if it is given.
	Domain       string `json:"domain"`
	Organization string `json:"organization_name"`
}

// newPasswordBody sets a password by what a mail has brought.
type newPasswordBody struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

// askReset has a mail sent to a user who has lost his password. The answer is the same, and as fast, whether there is such a user or not.
func (r *Root) askReset(c echo.Context) error {
	if r.mail == nil {
		return noMail()
	}
	var body resetBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	if err := r.perMailer.Take(c, c.RealIP()); err != nil {
		return err
	}
	if err := checkName(body.Username); err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "must have 1 to %d bytes, all printable", maxName).At("$.username")
	}
	if len(body.Organization) > maxName || !printable(body.Organization) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "must have at most %d bytes, all printable", maxName).At("$.organization_name")
	}
	if !r.mail.isHere(body.Domain) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "unknown_domain", "must be %s, where this installation's links lead", r.mail.Link.Host).At("$.domain")
	}
	select {
	case r.resets <- body:
	default:
		c.Response().Header().Set(echo.HeaderRetryAfter, "10")
		return httpapi.NewProblem(http.StatusServiceUnavailable, "mail_busy", "too many mails wait to be sent: try again later")
	}
	return c.JSON(http.StatusOK, message("if there is such a user, and his mail address is known, a mail is on its way"))
}

// isHere reports whether a client means this installation's own dashboard: by host, host and port, or address.
func (m *Mail) isHere(domain string) bool {
	domain = strings.TrimSuffix(domain, "/")
	if u, err := url.Parse(domain); err == nil && u.Host != "" {
		domain = u.Host
	}
	return domain == "" || strings.EqualFold(domain, m.Link.Host) || strings.EqualFold(domain, m.Link.Hostname())
}

// sendResets sends mails until ctx ends.
func (r *Root) sendResets(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case body := <-r.resets:
			if err := r.sendReset(ctx, body); err != nil && ctx.Err() == nil {
				r.log.Warn("no mail was sent to who has lost a password; he can ask again", "error", err)
			}
		}
	}
}

func (r *Root) sendReset(ctx context.Context, body resetBody) error {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	list, err := r.users.BeginReset(ctx, strings.ToLower(body.Organization), body.Username)
	if err != nil {
		return err
	}
	var failed error
	for _, one := range list {
		link := r.mail.Link.JoinPath("resetPassword", one.Secret)
		text := fmt.Sprintf("Somebody, you most likely, has asked for a new password of the user %s of the organization %s.\n\n"+
			"To set it, open within %.0f hours:\n\n%s\n\nIf it was not you, do nothing: your password stays.\n", one.Name, one.Organization, users.ResetTTL.Hours(), link)
		failed = errors.Join(failed, r.mail.Send(ctx, one.Email, "Set a new password", text))
	}
	return failed
}

// finishReset sets a new password by the secret of a mail.
func (r *Root) finishReset(c echo.Context) error {
	if r.mail == nil {
		return noMail()
	}
	var body newPasswordBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	right, wait := r.guesses.attempt(c.RealIP(), "reset", time.Now())
	if wait > 0 {
		return tooManyGuesses(c, wait)
	}
	err := r.users.FinishReset(c.Request().Context(), body.Token, body.Password)
	if !errors.Is(err, users.ErrReset) {
		right()
	}
	if errors.Is(err, users.ErrReset) {
		return httpapi.NewProblem(http.StatusUnauthorized, "link_invalid", "%v", users.ErrReset).At("$.token")
	}
	if err != nil {
		return userProblem(err)
	}
	return c.JSON(http.StatusOK, message("the password is set: log in with it"))
}

// noMail answers who has lost a password where root sends no mail.
func noMail() error {
	return httpapi.NewProblem(http.StatusNotImplemented, "no_mail",
		"this installation sends no mail (--mail-server): ask an administrator, who can set a new password (PUT /api/user/NAME)")
}
