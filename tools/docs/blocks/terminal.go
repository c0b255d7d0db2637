// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Terminal is a bash into which blocks are typed one after the other. It is for one goroutine.
type Terminal struct {
	shell Shell
	root  string
	mark  string // begins the lines that are meant for us
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines int // written so far, as bash counts them

	out    *os.File
	said   chan string   // what the lines that are meant for us say
	ended  chan struct{} // closed once nothing more can be printed
	mu     sync.Mutex
	tail   []byte // what was printed since the last take, its end
	broken error  // why nothing more can be typed
}

var errClosed = errors.New("the terminal is closed")

// Type runs the blocks with the given ids of a document, one after the other, and returns what they have printed on both outputs
// (of each the last 64 KiB). The file is named by its path from the repository's root. The first command that fails ends the
// terminal; the error names its file, line and block and shows the output. A command that is followed by & goes on until Close.
func (t *Terminal) Type(ctx context.Context, file string, ids ...string) (string, error) {
	found, err := Find(t.root, file, ids...)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, b := range found {
		out, err := t.one(ctx, b)
		all.WriteString(out)
		if err != nil {
			return all.String(), err
		}
	}
	return all.String(), nil
}

// one types a block.
func (t *Terminal) one(ctx context.Context, b Block) (string, error) {
	if t.broken != nil {
		return "", fmt.Errorf("%s: not typed: %w", b.Place(), t.broken)
	}
	text, err := fill(b, t.shell.Fill)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, t.shell.Within)
	defer cancel()
	_ = t.take() // what came between belongs to nobody
	start := t.lines + 1
	// As a group, since commands would else read what is typed next.
	if err := t.write("{\n" + text + "\n} </dev/null\nprintf '\\n%s done\\n' " + t.mark + "\n"); err != nil {
		t.broken = err
		return "", fmt.Errorf("%s: %w", b.Place(), err)
	}
	var fault error
	select {
	case word := <-t.said:
		var line, status int
		if _, err := fmt.Sscanf(word, "failed %d %d", &line, &status); err == nil {
			t.broken = errors.New("a command before it has failed")
			fault = fmt.Errorf("%s:%d (block %s): command ended with %d", b.File, b.Line+line-start, b.ID, status)
		}
	case <-t.ended:
		t.broken = errors.New("the shell is gone")
		fault = fmt.Errorf("%s: the shell ended within the block", b.Place())
	case <-ctx.Done():
		t.broken = errors.New("a block before it did not end")
		fault = fmt.Errorf("%s: not done in time: %w", b.Place(), ctx.Err())
	}
	out := t.take()
	if fault != nil {
		fault = fmt.Errorf("%w; it printed:\n%s", fault, out)
	}
	return out, fault
}

// Close ends the shell and whatever it has started, but for what has made itself a session of its own, as daemons do. Its error
// says what would not end. Closing twice does no harm.
func (t *Terminal) Close() error {
	if errors.Is(t.broken, errClosed) {
		return nil
	}
	_ = t.stdin.Close() // gone with its shell if not open
	err := endSession(t.cmd.Process.Pid)
	_ = t.cmd.Wait() // a shell that is ended so ends with an error
	// A daemon that still holds the pipe would keep us waiting.
	err = errors.Join(err, t.out.SetReadDeadline(time.Now().Add(time.Second)))
	<-t.ended
	_ = t.out.Close() // all is read
	t.broken = errClosed
	return err
}

// Type opens a terminal, types the blocks and closes it.
func (s Shell) Type(ctx context.Context, file string, ids ...string) (string, error) {
	t, err := s.Open()
	if err != nil {
		return "", err
	}
	out, err := t.Type(ctx, file, ids...)
	return out, errors.Join(err, t.Close())
}

func (t *Terminal) write(text string) error {
	t.lines += strings.Count(text, "\n")
	if _, err := io.WriteString(t.stdin, text); err != nil {
		return fmt.Errorf("type into the shell: %w", err)
	}
	return nil
}

// read starts to keep what is printed, and to hear what is said to us.
func (t *Terminal) read(out *os.File) {
	t.out, t.said, t.ended = out, make(chan string, 4), make(chan struct{})
	go func() {
		defer close(t.ended)
		r := bufio.NewReaderSize(out, most)
		blank := false // a line end that may be the one before ours
		for {
			line, err := r.ReadSlice('\n')
			word, ours := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte(t.mark+" "))
			if blank && !ours {
				t.keep([]byte("\n"))
			}
			blank = !ours && string(line) == "\n"
			switch {
			case ours:
				t.said <- string(word)
			case !blank:
				t.keep(line)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}()
}

func (t *Terminal) keep(piece []byte) {
	if t.shell.Output != nil {
		_, _ = t.shell.Output.Write(piece) // whoever listens may be gone
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = append(t.tail, piece...)
	if over := len(t.tail) - most; over > 0 {
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
}

func (t *Terminal) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := string(t.tail)
	t.tail = nil
	return out
}
