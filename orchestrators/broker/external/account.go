// SPDX-License-Identifier: Apache-2.0

package external

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// owner is an account that files are given to.
type owner struct{ uid, gid int }

// account finds the account by its name.
func account(name string) (owner, error) {
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
