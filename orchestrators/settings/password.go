// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// passwordBytes of randomness make a password that nobody has to type.
const passwordBytes = 20

// PasswordCommand returns the subcommand "password", which makes passwords for an installation's own use, such as that of its database. It is
// for installations that are set up by nothing but container images.
func PasswordCommand() *cobra.Command {
	group := &cobra.Command{Use: "password", Short: "Make passwords that programs use among themselves"}
	var output, mode string
	create := &cobra.Command{
		Use:   "create",
		Short: "Write a random password to a file, unless the file is there",
		Args:  cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if output == "" {
				return cmdline.Usagef("flag --output is missing: name the file")
			}
			bits, err := strconv.ParseUint(mode, 8, 9)
			if err != nil {
				return cmdline.Usagef("flag --mode: %q is no file mode such as 0600", mode)
			}
			return createPassword(output, fs.FileMode(bits))
		},
	}
	create.Flags().StringVar(&output, "output", "", "file to write it to (required)")
	create.Flags().StringVar(&mode, "mode", "0600", "who may read the file, as chmod says it")
	group.AddCommand(create)
	cmdline.Group(group)
	return group
}

func createPassword(path string, mode fs.FileMode) error {
	var b [passwordBytes]byte
	_, _ = rand.Read(b[:])
	f, err := os.CreateTemp(filepath.Dir(path), ".password-*")
	if err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(base32.StdEncoding.EncodeToString(b[:]) + "\n")
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	// A link is made only where there is no file: of two programs that do this at once, one wins, whole.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write password: %w", err)
	}
	return nil
}
