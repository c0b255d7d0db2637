// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Time-outs of a connection. Reading and writing have to outlast the longest blocking query (wire.MaxWait, 30 s): Go ends a
// request's context when the time for reading it runs out although it has been read.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 75 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 5 * time.Second
	maxHeaderBytes    = 64 << 10
)

// Serve listens on addr and serves h with TLS and plain on one port until ctx ends, then closes within 5 s. Requests in
// progress see their context end with ctx. allowPlain lets plain requests from other machines pass [RefusePlain]; it is
// logged.
func Serve(ctx context.Context, addr string, tlsConfig *tls.Config, allowPlain bool, h http.Handler, log *slog.Logger) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s (--listen): %w", addr, err)
	}
	return ServeListener(ctx, ln, tlsConfig, allowPlain, h, log)
}

// ServeListener is [Serve] on a listener, which it closes.
func ServeListener(ctx context.Context, ln net.Listener, tlsConfig *tls.Config, allowPlain bool, h http.Handler, log *slog.Logger) error {
	log.Info("listening", "address", ln.Addr().String(), "allow_plain", allowPlain)
	if allowPlain {
		log.Warn("plain HTTP is allowed from other machines: passwords, tokens and identities travel unprotected")
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(ctx, keyAllowPlain, allowPlain) },
	}
	failed := make(chan error, 1)
	// Plain connections reach the routes, which tell a client why it is refused.
	go func() { failed <- server.Serve(MuxListener(ln, tlsConfig, true)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}
