// SPDX-License-Identifier: Apache-2.0

package external

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// owner is an account that files are given to.
type owner struct{ uid, gid int }

// ErrOwner is wrapped by the error of [Prepare] for an owner that is not written as UID:GID.
var ErrOwner = errors.New("not UID:GID, such as 1883:1883")

// account finds the account by its numbers, if they are given, or else by its name.
func account(name, numbers string) (owner, error) {
	if numbers != "" {
		u, g, _ := strings.Cut(numbers, ":")
		uid, err := strconv.ParseUint(u, 10, 31)
		gid, err2 := strconv.ParseUint(g, 10, 31)
		if err != nil || err2 != nil {
			return owner{}, fmt.Errorf("--owner %q is %w", numbers, ErrOwner)
		}
		return owner{int(uid), int(gid)}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return owner{}, fmt.Errorf("find the account of mosquitto: %w: install the package mosquitto, or name another with --user", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return owner{}, fmt.Errorf("read the account of mosquitto: %w", err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return owner{}, fmt.Errorf("read the account of mosquitto: %w", err)
	}
	return owner{uid, gid}, nil
}

func (o owner) own(path string) error {
	if err := os.Chown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("give %s to mosquitto's account: %w: run this as root or as that account", path, err)
	}
	return nil
}
