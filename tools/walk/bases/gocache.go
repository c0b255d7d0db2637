// SPDX-License-Identifier: Apache-2.0

package bases

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// request and response are what Go's command says to a program that keeps its build cache (GOCACHEPROG), and what it is answered.
type request struct {
	ID       int64
	Command  string
	ActionID []byte `json:",omitempty"`
	OutputID []byte `json:",omitempty"`
	BodySize int64  `json:",omitempty"`
}

type response struct {
	ID            int64
	Err           string     `json:",omitempty"`
	KnownCommands []string   `json:",omitempty"`
	Miss          bool       `json:",omitempty"`
	OutputID      []byte     `json:",omitempty"`
	Size          int64      `json:",omitempty"`
	Time          *time.Time `json:",omitempty"`
	DiskPath      string     `json:",omitempty"`
}

// ServeGoCache keeps the build cache of a Go command that speaks on in and out: what it asks for is copied from one cache folder to another, as
// is what it makes, so that the second one holds just what one build needs. It returns when the command has ended.
func ServeGoCache(from, to string, in io.Reader, out io.Writer) error {
	enc, dec := json.NewEncoder(out), json.NewDecoder(bufio.NewReader(in))
	if err := enc.Encode(response{KnownCommands: []string{"get", "put", "close"}}); err != nil {
		return err
	}
	for {
		var q request
		if err := dec.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what Go asks of its cache: %w", err)
		}
		r, err := answer(from, to, q, dec)
		if err != nil {
			r.Err = err.Error()
		}
		r.ID = q.ID
		if err := enc.Encode(r); err != nil {
			return err
		}
		if q.Command == "close" {
			return nil
		}
	}
}

func answer(from, to string, q request, body *json.Decoder) (response, error) {
	switch q.Command {
	case "get":
		e, err := readEntry(from, q.ActionID)
		if errors.Is(err, fs.ErrNotExist) {
			return response{Miss: true}, nil
		}
		if err != nil {
			return response{}, err
		}
		content, err := os.ReadFile(cacheFile(from, e.output, "d"))
		if err != nil || int64(len(content)) != e.size {
			return response{Miss: true}, nil // trimmed meanwhile
		}
		return e.store(to, q.ActionID, content)
	case "put":
		var content []byte
		if q.BodySize > 0 {
			var text string
			if err := body.Decode(&text); err != nil {
				return response{}, err
			}
			var err error
			if content, err = base64.StdEncoding.DecodeString(text); err != nil {
				return response{}, err
			}
		}
		return entry{output: q.OutputID, size: int64(len(content)), time: time.Now()}.store(to, q.ActionID, content)
	case "close":
		return response{}, nil
	}
	return response{}, fmt.Errorf("unknown command %q", q.Command)
}

// entry is what a cache folder has of one action: its output, whose content is in a file of its own.
type entry struct {
	output []byte
	size   int64
	time   time.Time
}

// cacheFile names a file of a cache folder, as Go's command lays it out.
func cacheFile(dir string, id []byte, kind string) string {
	name := hex.EncodeToString(id)
	return filepath.Join(dir, name[:2], name+"-"+kind)
}

func readEntry(dir string, action []byte) (entry, error) {
	if len(action) == 0 {
		return entry{}, errors.New("an action without a number")
	}
	raw, err := os.ReadFile(cacheFile(dir, action, "a"))
	if err != nil {
		return entry{}, err
	}
	var self, output []byte
	var size, nanos int64
	if _, err := fmt.Sscanf(string(raw), "v1 %x %x %d %d", &self, &output, &size, &nanos); err != nil || len(output) == 0 {
		return entry{}, fs.ErrNotExist // of another version, or broken off
	}
	return entry{output, size, time.Unix(0, nanos)}, nil
}

func (e entry) store(dir string, action, content []byte) (response, error) {
	file := cacheFile(dir, e.output, "d")
	for _, name := range []string{file, cacheFile(dir, action, "a")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return response{}, err
		}
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return response{}, err
	}
	text := fmt.Sprintf("v1 %x %x %20d %20d\n", action, e.output, e.size, e.time.UnixNano())
	if err := os.WriteFile(cacheFile(dir, action, "a"), []byte(text), 0o644); err != nil {
		return response{}, err
	}
	return response{OutputID: e.output, Size: e.size, Time: &e.time, DiskPath: file}, nil
}
