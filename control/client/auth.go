// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
)

// tokenPair is what login and refresh answer.
type tokenPair struct {
	Token        string `json:"token"`
	RefreshToken string `json:"refresh_token"`
}

// Login exchanges a name and a password for tokens, which the client uses from then on. An empty organisation is the user's
// own. Wrong credentials are an [*Error] of status 401.
func (c *Client) Login(ctx context.Context, username, password, organization string) error {
	body := map[string]string{"username": username, "password": password}
	if organization != "" {
		body["organization_name"] = organization
	}
	var pair tokenPair
	err := c.do(ctx, call{method: http.MethodPost, path: "/api/auth/login", body: body, answer: &pair, anonymous: true, repeatable: true})
	if err != nil {
		return err
	}
	c.setTokens(pair.Token, pair.RefreshToken)
	return nil
}

// renew exchanges the refresh token for a new access token, unless another call has done so since old was in use.
func (c *Client) renew(ctx context.Context, old string) (string, error) {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	token, refresh := c.tokens()
	if token != old {
		return token, nil
	}
	// Not repeatable: a server may let a refresh token be used once.
	var pair tokenPair
	if err := c.do(ctx, call{method: http.MethodPost, path: "/api/auth/refresh", answer: &pair, bearer: refresh}); err != nil {
		return "", err
	}
	if pair.RefreshToken == "" {
		pair.RefreshToken = refresh
	}
	c.setTokens(pair.Token, pair.RefreshToken)
	return pair.Token, nil
}
