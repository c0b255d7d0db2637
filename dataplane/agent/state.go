// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// folder is the state folder.
type folder string

// Files of the state folder, all readable by their owner alone.
const (
	epochFile     = "epoch.json"
	sessionFile   = "session.json"
	keyFile       = "overlay-key.json"
	identityFile  = "identity.json"
	nodeFile      = "node.json"
	peersFile     = "peers.json"
	routesFile    = "routes.jsonl"
	namesFile     = "names.json"
	endpointsFile = "endpoints.json"
	portsFile     = "reserved-ports.json"
	routingFile   = "routing.json"

	// formerRoutesFile is what builds before kept routes in, all in one. It goes when routesFile is first written.
	formerRoutesFile = "routes.json"
)

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// read reports whether there is such a file.
func (f folder) read(name string, v any) (bool, error) {
	err := statefile.Read(f.path(name), v)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f folder) write(name string, v any) error { return statefile.Write(f.path(name), v) }

// raise returns a number that is higher than any before it and at least the clock's milliseconds, so that a folder that was
// lost does not put its worker behind its own past.
func (f folder) raise(name string, now time.Time) (uint64, error) {
	var last uint64
	if _, err := f.read(name, &last); err != nil {
		return 0, err
	}
	next := max(last+1, uint64(max(now.UnixMilli(), 1)))
	if err := f.write(name, next); err != nil {
		return 0, err
	}
	return next, nil
}

// overlayKey returns the worker's X25519 key, made at the first start.
func (f folder) overlayKey() (*ecdh.PrivateKey, error) {
	var raw []byte
	found, err := f.read(keyFile, &raw)
	if err != nil {
		return nil, err
	}
	if found {
		key, err := ecdh.X25519().NewPrivateKey(raw)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w: remove it to have a new key made", f.path(keyFile), err)
		}
		return key, nil
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the overlay's key: %w", err)
	}
	return key, f.write(keyFile, key.Bytes())
}
