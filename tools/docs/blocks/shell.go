// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Shell says where and how blocks are typed. Its zero value is a bash in the repository's root with the caller's environment.
type Shell struct {
	// Prefix is the command that starts bash elsewhere, such as ip netns exec NAME, or chroot DIR; it must keep standard input.
	Prefix []string
	// Dir is the working folder; empty means the repository's root.
	Dir string
	// Env is the whole environment, as NAME=VALUE; nil means the caller's own.
	Env []string
	// Fill is what to put in for <PLACES TO FILL IN>, by the words between the brackets. What is learned from one block may be added for the next.
	Fill map[string]string
	// Within is how long one block may take; zero means two minutes.
	Within time.Duration
	// Output gets everything that is printed, as it comes, from one goroutine; nil means nobody.
	Output io.Writer
}

// most is how much of a block's output is kept, in bytes: its end.
const most = 64 << 10

// opening is what every terminal begins with. What fails ends it, as a careful user would stop there; mark is said with the line. A name that was never
// given a value is a fault of the page. On a machine without sudo, where root types, its part is played: without -E the
// environment stays behind, but for the path.
const opening = `set -eEu -o pipefail
trap '__status=$?; if [ $BASH_SUBSHELL = 0 ]; then printf "\n%%s failed %%d %%d\n" %[1]s $LINENO $__status; exit $__status; fi' ERR
if ! command -v sudo >/dev/null && [ "$EUID" = 0 ]; then
sudo() {
  if [ "${1:-}" = -E ]; then shift; env "$@"
  else env -i PATH="$PATH" HOME=/root USER=root LOGNAME=root TERM="${TERM:-dumb}" LANG="${LANG:-C.UTF-8}" "$@"; fi
}
fi
`

// Open starts a bash to type into. Whoever opens it has to close it.
func (s Shell) Open() (*Terminal, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if s.Dir == "" {
		s.Dir = root
	}
	if s.Within == 0 {
		s.Within = 2 * time.Minute
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("open a shell: %w", err)
	}
	args := append(append([]string{}, s.Prefix...), "bash", "--noprofile", "--norc", "-s")
	t := &Terminal{shell: s, root: root, mark: "--" + hex.EncodeToString(random), cmd: exec.Command(args[0], args[1:]...)}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open a shell: %w", err)
	}
	defer in.Close()
	t.cmd.Dir, t.cmd.Env, t.cmd.Stdout, t.cmd.Stderr = s.Dir, s.Env, in, in
	// A session of its own, by which all that is typed into it is found in the end.
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if t.stdin, err = t.cmd.StdinPipe(); err == nil {
		err = t.cmd.Start()
	}
	if err != nil {
		_ = out.Close() // nothing was read from it
		return nil, fmt.Errorf("open a shell: %w", err)
	}
	t.read(out)
	if err := t.write(fmt.Sprintf(opening, t.mark)); err != nil {
		_ = t.Close() // the first error says more
		return nil, err
	}
	return t, nil
}
