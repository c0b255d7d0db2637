// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// postgres: without a database the API says 503, and goes on by itself when it is back, with all that it has acknowledged
// up to the very crash.
func postgres(t *testing.T, s *scene.Scene, quiet load) {
	before := tasks(t, s)
	var acknowledged []string
	broken := under(t, s, loadSeconds, func() {
		written := make(chan []string)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		go func() { written <- write(ctx, s) }()
		time.Sleep(200 * time.Millisecond) // some writes; the crash comes between any two steps of one
		fault(t, testbed.Kill, "postgres@machine")
		acknowledged = <-written
		until(t, 3*time.Second, func(ctx context.Context) error { return unavailable(ctx, s) })
		time.Sleep(outage - 2*lead)
		fault(t, testbed.Restart, "postgres@machine")
	})
	nearly(t, quiet, broken)
	until(t, 10*time.Second, func(ctx context.Context) error {
		apps, err := s.API.Applications(ctx)
		if err != nil {
			return err
		}
		have := map[string]bool{}
		for _, a := range apps {
			have[a.Name] = true
		}
		for _, name := range acknowledged {
			if !have[name] {
				return fmt.Errorf("application %s is lost although it was acknowledged", name)
			}
		}
		return nil
	})
	t.Logf("%d applications were acknowledged before the crash", len(acknowledged))
	if len(acknowledged) == 0 {
		t.Error("no write was acknowledged before the crash: nothing was shown")
	}
	sameTasks(t, s, before)
	oneMore(t, s)
}

// write creates applications, one after the other, until it is refused, and returns those that were acknowledged.
func write(ctx context.Context, s *scene.Scene) []string {
	var acknowledged []string
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("written%d", i)
		body := fmt.Sprintf(`{"sla_version":"v2.0","customerID":"Admin","applications":[{"applicationID":"","application_name":%q,
			"application_namespace":"test","microservices":[]}]}`, name)
		if _, err := s.API.CreateApplication(ctx, []byte(body)); err != nil {
			break
		}
		acknowledged = append(acknowledged, name)
	}
	return acknowledged
}

// unavailable checks that the API says that it has no database, rather than hang or fail in another way: where it is asked
// whether it is ready, and where a user wants something.
func unavailable(ctx context.Context, s *scene.Scene) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ready, err := http.NewRequestWithContext(ctx, http.MethodGet, s.API.URL()+"/readyz", nil)
	if err != nil {
		return err
	}
	login, err := http.NewRequestWithContext(ctx, http.MethodPost, s.API.URL()+"/api/auth/login",
		strings.NewReader(`{"username":"Admin","password":"wrong"}`))
	if err != nil {
		return err
	}
	login.Header.Set("Content-Type", "application/json")
	for _, req := range []*http.Request{ready, login} {
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			return errors.New("without a database " + req.URL.Path + " answers " + res.Status)
		}
	}
	return nil
}
