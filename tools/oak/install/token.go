// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
)

// handedFor is how long a token is valid that one tier of this machine leaves for the next. It is used once.
const handedFor = "720h"

// maxToken bounds a token, in bytes.
const maxToken = 16 << 10

// user makes the system's user that a service runs as.
func (p *plan) user(s Service) {
	args := []string{"useradd", "--system", "--user-group", "--no-create-home", "--home-dir", s.State, "--shell", "/usr/sbin/nologin", s.User}
	p.add(strings.Join(args, " "), func(ctx context.Context) (bool, error) {
		if _, err := user.Lookup(s.User); err == nil {
			return false, nil
		}
		return true, call(ctx, args...)
	})
}

// token copies the token that somebody has brought.
func (p *plan) token(from, to, owner string) {
	say := fmt.Sprintf("install -m 0400 %s %s", from, to)
	if owner != "" {
		say = fmt.Sprintf("install -m 0400 -o %s -g %s %s %s", owner, owner, from, to)
	}
	p.text(say, to, 0o400, owner, func() ([]byte, error) {
		text, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		if text = bytes.TrimSpace(text); len(text) == 0 || len(text) > maxToken {
			return nil, fmt.Errorf("%s holds no token", from)
		}
		return append(text, '\n'), nil
	})
}

// handToken has one tier make a token for the next, as the user that it runs as. Who has joined already does not read it.
func (p *plan) handToken(program string, s Service, to, owner string) {
	p.text(fmt.Sprintf("runuser -u %s -- env $(grep -h '^OAK' %s) %s token create --ttl %s > %s", s.User, s.envFile(), program, handedFor, to), to, 0o400, owner,
		func() ([]byte, error) { return makeToken(program, s) })
}

func makeToken(program string, s Service) ([]byte, error) {
	set, err := settings(s.envFile())
	if err != nil {
		return nil, err
	}
	uid, gid, err := idsOf(s.User)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "token", "create", "--quiet", "--ttl", handedFor)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // are no negative numbers
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.State, "USER=" + s.User}
	for name, value := range set {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("have a token made: %w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}
