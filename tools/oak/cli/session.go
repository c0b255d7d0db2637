// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/tools/oak/config"
)

// envPassword is where the password is read from; it is no flag, since flags show in the list of processes.
const envPassword = "OAK_PASSWORD"

// configFile returns the path of the configuration file.
func (p *program) configFile() (string, error) {
	if p.configPath != "" {
		return p.configPath, nil
	}
	return config.DefaultPath()
}

// load returns the configuration with what flags and environment say in its place, and the path of the file.
func (p *program) load() (config.Config, string, error) {
	path, err := p.configFile()
	if err != nil {
		return config.Config{}, "", err
	}
	c, err := config.Load(path)
	if err != nil {
		return config.Config{}, "", err
	}
	kept := cmp.Or(c.URL, config.DefaultURL)
	c.URL = strings.TrimRight(cmp.Or(p.url, kept), "/")
	if c.URL != strings.TrimRight(kept, "/") || p.username != "" && c.Username != p.username {
		c.Token, c.RefreshToken = "", "" // they belong to another root or another user
	}
	c.Username = cmp.Or(p.username, c.Username)
	c.Organization = cmp.Or(p.organization, c.Organization)
	if p.caFile != "" || p.caHash != "" { // either replaces what is kept, which may be the other
		c.CAFile, c.CAHash = p.caFile, p.caHash
	}
	return c, path, nil
}

// connected makes a command of what is done logged in.
func (p *program) connected(do func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := p.session(cmd.Context())
		if err != nil {
			return err
		}
		defer c.Close()
		return do(cmd.Context(), c, args)
	}
}

// session returns a client that is logged in: with the kept tokens, or else with name and password of the environment.
func (p *program) session(ctx context.Context) (*client.Client, error) {
	c, path, err := p.load()
	if err != nil {
		return nil, err
	}
	password := p.Getenv(envPassword)
	if c.Token == "" && (c.Username == "" || password == "") {
		return nil, cmdline.WithCode(ExitAuth, fmt.Errorf("not logged in at %s: run `oak login --url %s --username NAME`, or set OAK_USERNAME and OAK_PASSWORD", c.URL, c.URL))
	}
	keep := func(string, string) {}
	if c.Token != "" {
		keep = func(token, refresh string) { p.keepTokens(path, token, refresh) }
	}
	cl, err := p.connect(c, keep)
	if err != nil || c.Token != "" {
		return cl, err
	}
	if err := cl.Login(ctx, c.Username, password, c.Organization); err != nil {
		return nil, fmt.Errorf("log in as %s at %s: %w", c.Username, c.URL, err)
	}
	return cl, nil
}

// keepTokens stores renewed tokens. A failure costs only another login later.
func (p *program) keepTokens(path, token, refresh string) {
	c, err := config.Load(path)
	if err == nil {
		c.Token, c.RefreshToken = token, refresh
		err = c.Save(path)
	}
	if err != nil {
		p.note("warning: the renewed login could not be kept: %v", err)
	}
}

// connect makes a client for the configuration.
func (p *program) connect(c config.Config, keep func(token, refresh string)) (*client.Client, error) {
	t, err := trust(c)
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		URL: c.URL, TLS: t, Token: c.Token, RefreshToken: c.RefreshToken, OnTokens: keep,
		Timeout: p.requestTimeout, UserAgent: "oak/" + cmdline.Version(p.Version),
	})
}

// trust returns the TLS configuration that verifies root, nil for the system's authorities.
func trust(c config.Config) (*tls.Config, error) {
	switch {
	case c.CAHash != "":
		return pki.PinnedTLS(strings.ToLower(c.CAHash)), nil
	case c.CAFile == "":
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authority: %s holds no PEM certificate", c.CAFile)
	}
	return byFile(pool, c.URL)
}

// byFile trusts authorities out of a file. One of them may be root's own, whose certificates are for no host, or the operator's, for root's
// address.
func byFile(pool *x509.CertPool, address string) (*tls.Config, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, cmdline.Usagef("root's address: %v", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // an operator's certificate may be behind a proxy
		// What the server shows is verified below, for either name.
		InsecureSkipVerify: true, //nolint:gosec // as said
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("verify root: it sent no certificate")
			}
			options := x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), DNSName: u.Hostname()}
			for _, c := range cs.PeerCertificates[1:] {
				options.Intermediates.AddCert(c)
			}
			_, err := cs.PeerCertificates[0].Verify(options)
			if err == nil {
				return nil
			}
			options.DNSName = pki.ServerName
			if _, own := cs.PeerCertificates[0].Verify(options); own == nil {
				return nil
			}
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
		},
	}, nil
}
