// SPDX-License-Identifier: Apache-2.0

package pgtest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// Server is a private Postgres server.
type Server struct {
	dir    string
	bin    string
	fsync  bool
	cred   *syscall.Credential
	keeper io.Closer
}

// Options of a server.
type Options struct {
	// Fsync keeps commits durable. It is off by default, which is faster; tests of durability switch it on.
	Fsync bool
}

// Start creates a database cluster in a new folder under dir (empty for the system's temporary folder) and starts a server
// on it. The server ends, and its folder goes, when Close is called or this process ends in whatever way.
func Start(dir string, opts Options) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, fsync: opts.Fsync}
	if s.dir, err = os.MkdirTemp(dir, "pgtest-"); err != nil {
		return nil, fmt.Errorf("create folder for Postgres: %w", err)
	}
	if err := s.init(); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	return s, nil
}

func (s *Server) init() error {
	if os.Getuid() == 0 { // Postgres refuses to run as root
		if err := s.becomePostgres(); err != nil {
			return err
		}
	}
	args := []string{"-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}
	if err := s.run("initdb", args...); err != nil {
		return err
	}
	if err := s.watch(); err != nil {
		return err
	}
	if err := s.Resume(); err != nil {
		_ = s.keeper.Close()
		return err
	}
	return nil
}

func (s *Server) becomePostgres() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("find user postgres (install the package postgresql): %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("read ids of user postgres: %q, %q", u.Uid, u.Gid)
	}
	s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Resume starts the server after a Stop and returns once it accepts connections.
func (s *Server) Resume() error {
	fsync := "off"
	if s.fsync {
		fsync = "on"
	}
	options := fmt.Sprintf("-c listen_addresses='' -k %s -c fsync=%s -c max_connections=200 -c shared_buffers=32MB",
		s.dir, fsync)
	return s.run("pg_ctl", "start", "-D", s.data(), "-w", "-t", "30", "-l", filepath.Join(s.dir, "log"), "-o", options)
}

// Stop stops the server in one of pg_ctl's modes: "smart", "fast", or "immediate", which is a crash.
func (s *Server) Stop(mode string) error {
	return s.run("pg_ctl", "stop", "-D", s.data(), "-m", mode, "-w", "-t", "30")
}

// Close ends the server and removes its folder.
func (s *Server) Close() error { return s.keeper.Close() }

// URL returns the URL of a database of the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=postgres", database, s.dir)
}

func (s *Server) run(program string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	// A file, not a pipe: the server inherits it, and a pipe would keep the wait from ending.
	out, err := os.CreateTemp(s.dir, program)
	if err != nil {
		return fmt.Errorf("create log of %s: %w", program, err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("run %s: %w: %s", program, err, bytes.TrimSpace(text))
	}
	return nil
}

// watch starts a shell that outlives this process, waits for the end of its standard input, then stops the server.
func (s *Server) watch() error {
	script := `cat >/dev/null; "$0" stop -D "$1/data" -m immediate; rm -rf "$1"`
	cmd := exec.Command("/bin/sh", "-c", script, filepath.Join(s.bin, "pg_ctl"), s.dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("create pipe to the keeper of Postgres: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the keeper of Postgres: %w", err)
	}
	s.keeper = keeper{in: in, cmd: cmd}
	return nil
}

type keeper struct {
	in  io.Closer
	cmd *exec.Cmd
}

func (k keeper) Close() error {
	_ = k.in.Close()
	return k.cmd.Wait()
}

// binaries returns the folder of the newest installed Postgres.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("find Postgres: no /usr/lib/postgresql/*/bin/initdb; install the package postgresql")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}
