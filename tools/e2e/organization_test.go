// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
)

// guest is a user of an organisation of her own.
const (
	guestName         = "eve"
	guestPassword     = "a password of eve's"
	guestOrganization = "elsewhere"
)

// guest returns the scene as a user of another organisation sees it.
func guest(t *testing.T, s *scene.Scene) *scene.Scene {
	t.Helper()
	api := s.Testbed.API()
	var tokens struct{ Token string }
	post(t, api.URL+"/api/auth/login", "", map[string]any{"username": api.Username, "password": api.Password}, &tokens)
	post(t, api.URL+"/api/auth/register", tokens.Token, map[string]any{
		"name": guestName, "password": guestPassword, "organization_name": guestOrganization,
	}, nil)
	c, err := client.New(client.Options{URL: api.URL, UserAgent: "oak-e2e"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context(), guestName, guestPassword, guestOrganization); err != nil {
		t.Fatal(err)
	}
	other := *s
	other.API = c
	return &other
}

func post(t *testing.T, url, token string, body, answer any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	if answer == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
}

// otherOrganization: who belongs to another organisation sees none of the names, in neither direction, and has the same ones for its own.
func otherOrganization(t *testing.T, s *scene.Scene, v *client.Service) {
	const name, own = "server.demo.hello.demo.oak", "10.30.30.31"
	g := guest(t, s)
	raw, err := os.ReadFile(filepath.Join("testdata", "hello.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.API.CreateApplication(t.Context(), bytes.ReplaceAll(raw, []byte(v.RoundRobin), []byte(own))); err != nil {
		t.Fatal(err)
	}
	deploy(t, g, "client", 1)
	for what, kind := range map[string]string{name: "A", "closest." + name: "AAAA", "0." + name: "A", "30.30.30.10.in-addr.arpa": "PTR"} {
		if r := lookUp(t, g, what, kind); r.Rcode != "NXDOMAIN" {
			t.Errorf("%s from another organisation: %+v", what, r)
		}
	}
	deploy(t, g, "server", 1)
	until(t, 10*time.Second, func(context.Context) error {
		if r := lookUp(t, g, name, "A"); !slices.Equal(r.Answers, []string{own}) {
			return fmt.Errorf("%s of the other organisation: %+v, want %s", name, r, own)
		}
		return nil
	})
	if r := lookUp(t, s, name, "A"); !slices.Equal(r.Answers, []string{v.RoundRobin}) {
		t.Errorf("%s of the first organisation: %+v, want %s", name, r, v.RoundRobin)
	}
}
