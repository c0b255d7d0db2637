// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DefaultURL is where root listens when it runs on the same machine.
const DefaultURL = "http://127.0.0.1:10000"

// ErrKey is wrapped by [Config.Set] for a key that does not exist.
var ErrKey = errors.New("no such key")

// Config is what the file holds.
type Config struct {
	// URL is root's address.
	URL string `json:"url,omitempty"`
	// Username and Organization are those of the last login, and the defaults of the next.
	Username     string `json:"username,omitempty"`
	Organization string `json:"organization,omitempty"`
	// CAFile is a PEM file with the authority that signed root's certificate, CAHash the SHA-256 of that authority's
	// certificate in hexadecimal. Either makes root's own authority trusted; with neither the system's are.
	CAFile string `json:"ca_file,omitempty"`
	CAHash string `json:"ca_hash,omitempty"`
	// Token and RefreshToken are those that the last login at URL gave.
	Token        string `json:"token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// DefaultPath returns where the file is unless the user says otherwise: oak/config.json in the user's config folder.
func DefaultPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the config folder: %w: set OAK_CONFIG to a file's path", err)
	}
	return filepath.Join(dir, "oak", "config.json"), nil
}

// Load reads the file; one that does not exist is an empty config.
func Load(path string) (Config, error) {
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	var c Config
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read config %s (remove it with `oak config reset` to start anew): %w", path, err)
	}
	return c, nil
}

// Save writes the file, readable by its owner alone; two runs of oak at a time leave the one's or the other's. A worker's
// state files have to survive a power cut and need Linux for it; this one does not, and oak runs wherever Go does.
func (c Config) Save(path string) error {
	body, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	_, err = f.Write(append(body, '\n'))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write config: %w", err)
	}
	return nil
}

// Reset removes the file, if there is one.
func Reset(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reset config: %w", err)
	}
	return nil
}

// Keys lists what [Config.Set] takes.
func Keys() []string { return []string{"url", "username", "organization", "ca_file", "ca_hash"} }

// Set changes one key; an empty value unsets it. A new url drops the tokens: they belong to another root.
func (c *Config) Set(key, value string) error {
	switch key {
	case "url":
		if c.URL != value {
			c.Token, c.RefreshToken = "", ""
		}
		c.URL = value
	case "username":
		c.Username = value
	case "organization":
		c.Organization = value
	case "ca_file":
		c.CAFile = value
	case "ca_hash":
		c.CAHash = value
	default:
		return fmt.Errorf("%w: %q: use one of %s", ErrKey, key, strings.Join(Keys(), ", "))
	}
	return nil
}

// Shown returns the config as people may see it: with tokens hidden.
func (c Config) Shown() map[string]string {
	out := map[string]string{}
	body, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil {
		return nil // a struct of strings is always readable
	}
	for _, secret := range []string{"token", "refresh_token"} {
		if out[secret] != "" {
			out[secret] = "(set)"
		}
	}
	return out
}
