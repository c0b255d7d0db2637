// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
	"github.com/oakestra/oakestra-ebpf/orchestrators/settings"
)

// maxRate bounds the limits of requests a second.
const maxRate = 1_000_000

// Bounds of --lost-after: below the first, a cluster that merely restarts would lose its instances.
const (
	minLostAfter = 10 * time.Second
	maxLostAfter = 24 * time.Hour
)

// run serves until ctx ends.
func (o *options) run(ctx context.Context, log *slog.Logger) error {
	go settings.KeepSmall(ctx)
	ranges, err := o.overlay()
	if err != nil {
		return err
	}
	mailer, err := o.mail.mailer()
	if err != nil {
		return err
	}
	for flag, value := range map[string]float64{"rate-limit-user": o.userRate, "rate-limit-address": o.peerRate} {
		if !(value >= 0 && value <= maxRate) {
			return cmdline.Usagef("flag --%s: must be from 0 to %d", flag, maxRate)
		}
	}
	if o.lostAfter < minLostAfter || o.lostAfter > maxLostAfter {
		return cmdline.Usagef("flag --lost-after: %s is not within %s and %s", o.lostAfter, minLostAfter, maxLostAfter)
	}
	secrets, err := loadVault(o.secretsKey, o.keyAsked, log)
	if err != nil {
		return err
	}
	areas, err := o.places()
	if err != nil {
		return err
	}
	pool, err := o.database.Open(ctx, log)
	if err != nil {
		return err
	}
	defer pool.Close()
	r, err := root.New(ctx, pool, root.Config{Ranges: ranges, Areas: areas, Vault: secrets, Log: log, StreamURL: o.advertise, LostAfter: o.lostAfter, UserRate: o.userRate, PeerRate: o.peerRate, Mail: mailer, Version: cmdline.Version(version)})
	if err != nil {
		return fmt.Errorf("start root orchestrator: %w", err)
	}
	if err := o.ensureAdmin(ctx, r.Users(), log); err != nil {
		return err
	}
	log.Info("users know this root by its authority (oak login --ca-hash)", "ca_hash", r.CA().Hash())
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read host name: %w", err)
	}
	tlsConfig, err := r.CA().ServerTLS(append([]string{host, "localhost", "127.0.0.1", "::1"}, o.names...)...)
	if err != nil {
		return fmt.Errorf("prepare TLS: %w", err)
	}
	if err := o.certificate.Serve(tlsConfig, log); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.Run(ctx) })
	group.Go(func() error { return httpapi.Serve(ctx, o.listen, tlsConfig, o.allowPlain, r.Handler(), log) })
	return group.Wait()
}

// ensureAdmin creates the account Admin at the first start.
func (o *options) ensureAdmin(ctx context.Context, store *users.Store, log *slog.Logger) error {
	password := ""
	if o.adminPassword != "" {
		text, err := os.ReadFile(o.adminPassword)
		if err != nil {
			return fmt.Errorf("read --admin-password-file: %w", err)
		}
		if password = strings.TrimSpace(string(text)); password == "" {
			return cmdline.Usagef("flag --admin-password-file: %s is empty", o.adminPassword)
		}
	}
	given := password != ""
	if !given {
		password = users.RandomPassword()
	}
	created, err := store.EnsureAdmin(ctx, password)
	if err != nil {
		return fmt.Errorf("create account %s (--admin-password-file): %w", users.AdminName, err)
	}
	if created && !given {
		// The one time that a secret is logged: there is no other way to hand it over.
		log.Warn("created the first account; its password is not shown again", "user", users.AdminName, "password", password)
	}
	return nil
}
