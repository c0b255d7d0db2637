// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// startTimeout is how long a component may take until it answers. On an idle machine the slowest, Postgres, takes 2 s.
const startTimeout = 45 * time.Second

// Probe is how to see that a component answers: exactly one way is set, save that URL may go through Socket.
type Probe struct {
	// URL has to answer 200.
	URL string `json:"url,omitempty"`
	// True names a field of URL's answer, a JSON object, that has to be true.
	True string `json:"true,omitempty"`
	// Socket is a Unix socket that has to accept a connection.
	Socket string `json:"socket,omitempty"`
	// Address is a HOST:PORT that has to accept a TCP connection.
	Address string `json:"address,omitempty"`
	// Database is a Postgres URL that has to accept a session.
	Database string `json:"database,omitempty"`
}

// once tries once.
func (p Probe) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	switch {
	case p.Database != "":
		c, err := pgx.Connect(ctx, p.Database)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	case p.URL != "":
		return p.get(ctx)
	case p.Address != "":
		c, err := new(net.Dialer).DialContext(ctx, "tcp", p.Address)
		if err != nil {
			return err
		}
		return c.Close()
	case p.Socket != "":
		c, err := new(net.Dialer).DialContext(ctx, "unix", p.Socket)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return nil
}

func (p Probe) get(ctx context.Context) error {
	tr := &http.Transport{DisableKeepAlives: true}
	if p.Socket != "" {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.Socket)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", p.URL, res.Status)
	}
	if p.True == "" {
		return nil
	}
	var body map[string]any
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return fmt.Errorf("%s: %w", p.URL, err)
	}
	if body[p.True] != true {
		return fmt.Errorf("%s: %s is %v, reason %v", p.URL, p.True, body[p.True], body["reason"])
	}
	return nil
}

// waitReady returns once the component answers. It gives up when its process ends, or after startTimeout.
func (c *Component) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := c.Ready.once(ctx)
		if c.Process.State() == proc.Dead {
			return c.failed(errors.New("its process has ended"))
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return c.failed(fmt.Errorf("not ready after %s: %w", startTimeout, err))
		case <-time.After(pause):
		}
	}
}

// failed says what went wrong with the component and where its log is, with the end of it.
func (c *Component) failed(err error) error {
	const lines = 8
	return fmt.Errorf("start %s: %w\n  log: %s\n%s", c, err, c.Spec.Log, indent(tail(c.Spec.Log, lines)))
}
