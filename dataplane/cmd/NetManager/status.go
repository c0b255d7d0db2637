// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of the question.
const (
	statusTimeout = 5 * time.Second
	maxStatus     = 64 << 10 // bytes
)

func statusCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "print the state of the running NetManager as JSON; exit status 1 if it is not ready",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := askStatus(cmd.Context(), o.agent.Socket)
			if err != nil {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			if err := out.Encode(s); err != nil {
				return err
			}
			if !s.Ready {
				return fmt.Errorf("not ready: %s", s.Reason)
			}
			return nil
		},
	}
}

func askStatus(ctx context.Context, socket string) (s wire.LocalStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://netmanager"+wire.PathLocalStatus, http.NoBody)
	if err != nil {
		return s, fmt.Errorf("ask NetManager: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask NetManager at %s: %w: is it running, and is --socket right?", socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("ask NetManager at %s: it answered %s", socket, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s); err != nil {
		return s, fmt.Errorf("understand NetManager's answer: %w", err)
	}
	return s, nil
}
