// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// mosquitto prepares and starts an external broker at addr.
func (b *Bed) mosquitto(ctx context.Context, addr string) error {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil { // Debian puts it where only root looks
			return errors.New("find mosquitto: install the Debian package mosquitto (make deps)")
		}
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("prepare mosquitto: %w", err)
	}
	dir := filepath.Join(b.logs(), "mosquitto")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("prepare mosquitto: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.options.Bin, clusterProgram), "mosquitto", //nolint:gosec // our own program
		"--database", b.database(clusterName), "--dir", dir, "--port", port, "--user", "root")
	cmd.Env, cmd.Dir = b.environment(), "/"
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("prepare mosquitto: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	b.Broker, err = b.starter.run(spec{name: "mosquitto", path: path, args: []string{"-c", strings.TrimSpace(string(out))}, env: b.environment(),
		end: syscall.SIGTERM}, b.logs())
	if err != nil {
		return err
	}
	return b.Broker.until(ctx, "an answer", func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}
