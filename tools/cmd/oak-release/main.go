// SPDX-License-Identifier: Apache-2.0

// Oak-release builds what users download.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/release"
)

// program is the version of this program, set by the build.
var program string

func main() { os.Exit(cmdline.Main(command())) }

func command() *cobra.Command {
	var o release.Options
	var archs []string
	var packager string
	var noDeb bool
	cmd := &cobra.Command{
		Use:   "oak-release",
		Short: "Build archives and packages for users to download, with their sums and lists of contents",
		Long: "Builds archives and Debian packages of all programs, lists of what is in each (CycloneDX) and of their sums. The same source gives the same\n" +
			"bytes; its time is SOURCE_DATE_EPOCH, or the commit's.",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.At, err = sourceTime(cmd.Context(), o.Source); err != nil {
				return err
			}
			for _, a := range release.Archs() {
				if len(archs) == 0 || slices.Contains(archs, a.Name) {
					o.Archs = append(o.Archs, a)
				}
			}
			if len(archs) > len(o.Archs) {
				return cmdline.Usagef("flag --arch: %s: not all of them are known", strings.Join(archs, ","))
			}
			o.Log = cmd.ErrOrStderr()
			if !noDeb {
				if o.Packager = packager; packager == "" {
					dir, err := os.MkdirTemp("", "oak-release-")
					if err != nil {
						return err
					}
					defer func() { _ = os.RemoveAll(dir) }()
					if o.Packager, err = release.InstallPackager(cmd.Context(), dir); err != nil {
						return err
					}
				}
			}
			_, err = release.Build(cmd.Context(), o)
			return err
		},
	}
	cmdline.Program{Prefix: "OAK_RELEASE_"}.Adopt(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Source, "source", ".", "the repository's root folder")
	f.StringVar(&o.Out, "out", "dist", "folder that the release goes to")
	f.StringVar(&o.Version, "release", "dev", "version that the programs say they are")
	f.StringSliceVar(&archs, "arch", nil, "amd64, arm64, armhf; several times, or separated by commas (default: all)")
	f.StringVar(&packager, "nfpm", "", "the program nfpm, which makes Debian packages (default: it is fetched, "+release.Nfpm+")")
	f.BoolVar(&noDeb, "no-packages", false, "make archives alone, no Debian packages")
	cmd.AddCommand(cmdline.VersionCommand(program))
	return cmd
}

// sourceTime is the time of everything in a release.
func sourceTime(ctx context.Context, source string) (time.Time, error) {
	text, from := os.Getenv("SOURCE_DATE_EPOCH"), "SOURCE_DATE_EPOCH"
	if text == "" {
		dir, err := filepath.Abs(source)
		if err != nil {
			return time.Time{}, err
		}
		git := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "-C", dir, "log", "-1", "--format=%ct")
		out, err := git.Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("ask git for the time of the source: %w: set SOURCE_DATE_EPOCH to seconds since 1970 where there is no checkout", err)
		}
		text, from = strings.TrimSpace(string(out)), "git"
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("read the time of the source from %s: %q are no seconds since 1970", from, text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
