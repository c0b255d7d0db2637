// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// passwordBytes of randomness make a password that nobody has to type.
const passwordBytes = 20

// PasswordCommand returns the subcommand "password", which makes passwords for an installation's own use, such as that of its database. It is
// for installations that are set up by nothing but container images.
func PasswordCommand() *cobra.Command {
	group := &cobra.Command{Use: "password", Short: "Make passwords that programs use among themselves"}
	var output, mode, from string
	create := &cobra.Command{
		Use:   "create",
		Short: "Write a random password to a file, unless the file is there; or copy one that there is",
		Args:  cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if output == "" {
				return cmdline.Usagef("flag --output is missing: name the file")
			}
			bits, err := strconv.ParseUint(mode, 8, 9)
			if err != nil {
				return cmdline.Usagef("flag --mode: %q is no file mode such as 0600", mode)
			}
			if from != "" {
				return copyPassword(from, output, fs.FileMode(bits))
			}
			return createPassword(output, fs.FileMode(bits))
		},
	}
	create.Flags().StringVar(&output, "output", "", "file to write it to (required)")
	create.Flags().StringVar(&mode, "mode", "0600", "who may read the file, as chmod says it")
	create.Flags().StringVar(&from, "from", "", "file with the password that is to be written there, in place of a random one, whatever stood there before")
	group.AddCommand(create)
	cmdline.Group(group)
	return group
}

func createPassword(path string, mode fs.FileMode) error {
	var b [passwordBytes]byte
	_, _ = rand.Read(b[:])
	// A link is made only where there is no file: of two programs that do this at once, one wins, whole.
	err := writePassword(base32.StdEncoding.EncodeToString(b[:]), path, mode, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// maxPassword bounds a password, in bytes.
const maxPassword = 4096

// copyPassword writes the first line of a file.
func copyPassword(from, path string, mode fs.FileMode) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("read password (--from): %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return fmt.Errorf("read password (--from): %w", err)
	}
	password, _, _ := strings.Cut(strings.TrimRight(string(text), "\r\n"), "\n")
	if password == "" || len(text) > maxPassword {
		return cmdline.Usagef("flag --from: %s is empty, or longer than %d bytes", from, maxPassword)
	}
	return writePassword(password, path, mode, os.Rename)
}

// writePassword makes a file and puts it to its place, whole.
func writePassword(password, path string, mode fs.FileMode, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".password-*")
	if err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already where it was renamed
	_, err = f.WriteString(password + "\n")
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	if err := place(f.Name(), path); err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	return nil
}
