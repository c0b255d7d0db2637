// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/nodeengine/join"
	"github.com/oakestra/oakestra-ebpf/nodeengine/netspace"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime/containerd"
)

// Bounds of an uninstallation.
const (
	// containerdWithin is how long containerd may take to answer.
	containerdWithin = 15 * time.Second
	// uninstallWithin bounds all of it: every container may take its grace to end.
	uninstallWithin = 10 * time.Minute
)

func uninstallCommand(o *options) *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "end all that NodeEngine has started and remove it, images included",
		Long: "Ends the instances of a worker whose NodeEngine does not run any more, and removes their containers, images, network namespaces and\n" +
			"cgroups. The cluster gives them to other workers. The state folder stays, and with it the worker's identity, unless --purge is given.\n" +
			"`NetManager uninstall` comes after it.",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.log, err = o.logging.Logger(cmd.ErrOrStderr()); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("removing containers needs root: run it as root")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), uninstallWithin)
			defer cancel()
			return o.uninstall(ctx, purge)
		},
	}
	o.addPlaces(cmd.Flags())
	cmd.Flags().DurationVar(&o.stopGrace, "stop-grace", 5*time.Second, "time that a container has between SIGTERM and SIGKILL")
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the state folder too: this worker is a new one when it comes back")
	return cmd
}

func (o *options) uninstall(ctx context.Context, purge bool) (err error) {
	for _, dir := range []*string{&o.stateDir, &o.runDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return fmt.Errorf("folder %s: %w", *dir, err)
		}
	}
	_, err = os.Stat(o.stateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.log.Info("this worker has never run here", "state_dir", o.stateDir)
	case err != nil:
		return fmt.Errorf("look for the state folder: %w", err)
	default:
		unlock, err := lock(filepath.Join(o.stateDir, "lock"))
		if err != nil {
			return err
		}
		defer unlock()
		if err := o.removeInstances(ctx); err != nil {
			return err
		}
	}
	if err := o.removeRunDir(); err != nil {
		return err
	}
	if purge {
		if err := os.RemoveAll(o.stateDir); err != nil {
			return fmt.Errorf("remove state folder: %w", err)
		}
	}
	return nil
}

// removeInstances ends what runs, if this worker has ever joined a cluster.
func (o *options) removeInstances(ctx context.Context) error {
	id, err := join.Load(o.stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	answering, cancel := context.WithTimeout(ctx, containerdWithin)
	defer cancel()
	r, err := containerd.Connect(answering, containerd.Options{Socket: o.containerd, Namespace: o.namespace, StateDir: o.stateDir, RunDir: o.runDir,
		WorkerID: id.WorkerID, StopGrace: o.stopGrace, Log: o.log})
	if err != nil {
		return fmt.Errorf("%w: containerd has to run for its containers to be removed: start it", err)
	}
	defer func() { _ = r.Close() }()
	return r.Uninstall(ctx)
}

// removeRunDir takes network namespaces and what is mounted in the run folder away, and then the folder.
func (o *options) removeRunDir() error {
	if _, err := os.Stat(o.runDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	spaces, err := netspace.Open(filepath.Join(o.runDir, "netns"))
	if err != nil {
		return err
	}
	ids, err := spaces.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := spaces.Remove(id); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(o.runDir); err != nil {
		return fmt.Errorf("remove run folder: %w", err)
	}
	_ = os.Remove(filepath.Dir(o.runDir)) // stays while NetManager has something in it
	return nil
}
