// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := ":80"
	if v := os.Getenv("LISTEN"); v != "" {
		addr = v
	}
	if err := serve(ctx, addr, instance()); err != nil {
		slog.Error("server ends", "error", err)
		os.Exit(1) //nolint:gocritic // the deferred call only restores signals
	}
}

// instance returns the name by which the server makes itself known: its platform's, or else its host's.
func instance() string {
	if name := os.Getenv("OAK_INSTANCE"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// serve answers over TCP and UDP on addr until ctx ends.
func serve(ctx context.Context, addr, name string) error {
	packets, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = packets.Close() }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           handler(name),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ConnContext:       rememberConn,
	}
	go echo(packets, name)
	stopped := context.AfterFunc(ctx, func() {
		_ = packets.Close()
		_ = srv.Close()
	})
	defer stopped()
	slog.Info("server is up", "instance", name, "address", listener.Addr().String())
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
