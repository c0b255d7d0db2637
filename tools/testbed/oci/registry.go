// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Serve runs the registry on addr until ctx ends.
func Serve(ctx context.Context, addr string, log *slog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("open the registry on %s: %w", addr, err)
	}
	std := slog.NewLogLogger(log.Handler(), slog.LevelInfo)
	srv := &http.Server{
		Handler:           registry.New(registry.Logger(std)),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          std,
	}
	stopped := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stopped()
	log.Info("registry is open", "address", addr)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the registry on %s: %w", addr, err)
	}
	return nil
}
