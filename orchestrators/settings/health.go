// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// healthTimeout bounds the question: who supervises asks every few seconds.
const healthTimeout = 5 * time.Second

// HealthCommand returns the subcommand "health", which asks the orchestrator on this machine whether it is ready. It is for supervisors in
// whose file systems nothing else could ask, such as those of container images.
func HealthCommand(port int) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask whether the orchestrator on this machine is ready: status 0 if it is",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			return askReady(ctx, url)
		},
	}
	cmd.Flags().StringVar(&url, "url", fmt.Sprintf("http://127.0.0.1:%d/readyz", port), "where to ask")
	return cmd
}

func askReady(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return cmdline.Usagef("flag --url: %v", err)
	}
	// Nothing secret is sent or believed, and the certificate is for a name that only the tiers below know to ask for.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}} //nolint:gosec // as said
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		const most = 4 << 10
		text, _ := io.ReadAll(io.LimitReader(resp.Body, most))
		return fmt.Errorf("not ready (%s): %s", resp.Status, text)
	}
	return nil
}
