// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// certificateAge is for how long a certificate is served before its files are looked at again.
const certificateAge = 5 * time.Second

// Certificate is one that the operator has for the names by which users reach an orchestrator, of an authority that they trust already. The
// tiers below go on with the orchestrator's own authority: they ask for [pki.ServerName], and get what that has signed.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]fs.FileInfo // of the files when current was read
	looked  time.Time
}

// AddFlags adds --tls-cert-file and --tls-key-file.
func (c *Certificate) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.certFile, "tls-cert-file", "", "PEM file with a certificate to show to users, and those that lead to its authority, in place of one of root's own "+
		"authority; read anew when it changes. Clusters are shown one of root's own as before")
	flags.StringVar(&c.keyFile, "tls-key-file", "", "PEM file with the key of --tls-cert-file")
}

// Serve has config show the certificate, if the flags name one, to all but the tiers below. It is an error if the certificate cannot be read
// now; once it could, what replaces it and cannot be read is logged and not served.
func (c *Certificate) Serve(config *tls.Config, log *slog.Logger) error {
	if c.certFile == "" && c.keyFile == "" {
		return nil
	}
	if c.certFile == "" || c.keyFile == "" {
		return cmdline.Usagef("flags --tls-cert-file and --tls-key-file go together: give both, or neither")
	}
	c.log = log
	if err := c.load(); err != nil {
		return err
	}
	if leaf := c.current.Leaf; time.Now().After(leaf.NotAfter) {
		log.Warn("the certificate of --tls-cert-file has expired: users will refuse it", "file", c.certFile, "not_after", leaf.NotAfter)
	}
	own := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == pki.ServerName {
			return own(hello)
		}
		return c.get(), nil
	}
	return nil
}

// get returns the certificate as its files have it now.
func (c *Certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateAge {
		return c.current
	}
	c.looked = time.Now()
	if now, err := c.stat(); err == nil && same(now, c.read) {
		return c.current
	}
	if err := c.load(); err != nil {
		c.log.Warn("the new certificate cannot be used; going on with the one before", "error", err)
	} else {
		c.log.Info("certificate read anew", "file", c.certFile, "not_after", c.current.Leaf.NotAfter)
	}
	return c.current
}

func (c *Certificate) stat() (now [2]fs.FileInfo, err error) {
	var errs [2]error
	now[0], errs[0] = os.Stat(c.certFile)
	now[1], errs[1] = os.Stat(c.keyFile)
	return now, errors.Join(errs[:]...)
}

// same reports whether both files are those that were read, unchanged.
func same(a, b [2]fs.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

// load reads the files. What is half replaced does not fit together, and is an error.
func (c *Certificate) load() error {
	// The files are looked at first: a change while they are read is seen the next time.
	now, err := c.stat()
	if err != nil {
		return fmt.Errorf("read certificate (--tls-cert-file, --tls-key-file): %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate (--tls-cert-file, --tls-key-file): %w", err)
	}
	c.current, c.read, c.looked = &pair, now, time.Now()
	return nil
}
