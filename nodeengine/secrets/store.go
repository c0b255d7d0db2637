// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// Name names a version of a secret.
type Name struct {
	// Organization is the id of the organisation whose secret it is.
	Organization string
	Secret       string
	Version      int
}

func (n Name) String() string { return n.Secret + " version " + strconv.Itoa(n.Version) }

// context is what a sealed value is bound to.
func (n Name) context() string {
	return n.Organization + "/" + n.Secret + "/" + strconv.Itoa(n.Version)
}

// store keeps sealed values in a folder, one file each.
type store struct {
	dir  string
	aead cipher.AEAD
}

// sealed is the content of a file.
type sealed struct {
	Nonce []byte `json:"nonce"`
	Value []byte `json:"value"`
}

// openStore returns a store in a folder, which is made. Only who has the worker's private key reads what is in it.
func openStore(dir string, privateKey []byte) (*store, error) {
	key, err := hkdf.Key(sha256.New, privateKey, nil, "oakestra worker secrets", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key for secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive key for secrets: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive key for secrets: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of secrets: %w", err)
	}
	return &store{dir: dir, aead: aead}, nil
}

func (s *store) path(n Name) string {
	sum := sha256.Sum256([]byte(n.context()))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:])+".json")
}

func (s *store) put(n Name, value []byte) error {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return statefile.Write(s.path(n), sealed{Nonce: nonce, Value: s.aead.Seal(nil, nonce, value, []byte(n.context()))})
}

// get returns a value that was put; ok is false for one that is not there, or does not open.
func (s *store) get(n Name) (value []byte, ok bool) {
	var f sealed
	if err := statefile.Read(s.path(n), &f); err != nil || len(f.Nonce) != s.aead.NonceSize() {
		return nil, false
	}
	value, err := s.aead.Open(nil, f.Nonce, f.Value, []byte(n.context()))
	return value, err == nil
}

// keepOnly removes what is not wanted and older than the grace, in which somebody may be about to want it.
func (s *store) keepOnly(wanted map[Name]struct{}, grace time.Duration) error {
	keep := make(map[string]struct{}, len(wanted))
	for n := range wanted {
		keep[filepath.Base(s.path(n))] = struct{}{}
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list sealed secrets: %w", err)
	}
	for _, f := range files {
		if _, ok := keep[f.Name()]; ok {
			continue
		}
		info, err := f.Info()
		if err != nil || time.Since(info.ModTime()) < grace {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget sealed secret: %w", err)
		}
	}
	return nil
}
