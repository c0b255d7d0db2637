// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/mail"
)

// mailOptions are the flags' values about mails.
type mailOptions struct{ server, user, passwordFile, from, protection, link string }

func (o *mailOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.server, "mail-server", "", "HOST:PORT of the SMTP server for mails to users who have lost their password; without it, or MAIL_SERVER and MAIL_PORT, none are sent")
	f.StringVar(&o.user, "mail-user", "", "who to log in to the mail server as (else MAIL_USER)")
	f.StringVar(&o.passwordFile, "mail-password-file", "", "file with the password for the mail server (else MAIL_PASSWORD)")
	f.StringVar(&o.from, "mail-from", "", "the sender's address (else MAIL_FROM, or the user)")
	f.StringVar(&o.protection, "mail-tls", mail.StartTLS, "how the mail server is talked to: "+mail.StartTLS+", "+mail.TLS+" or "+mail.Plain)
	f.StringVar(&o.link, "mail-link", "", "https://HOST of the dashboard, to which links in mails lead")
}

// mailer returns what sends mails, nil if none is to. The variables MAIL_… are those of the original.
func (o *mailOptions) mailer() (*root.Mail, error) {
	server := o.server
	if server == "" && os.Getenv("MAIL_SERVER") != "" {
		server = net.JoinHostPort(os.Getenv("MAIL_SERVER"), cmp.Or(os.Getenv("MAIL_PORT"), "587"))
	}
	if server == "" {
		return nil, nil
	}
	cfg := mail.Config{Server: server, User: cmp.Or(o.user, os.Getenv("MAIL_USER"), os.Getenv("MAIL_USERNAME")), Password: os.Getenv("MAIL_PASSWORD"), Protection: o.protection}
	cfg.From = cmp.Or(o.from, os.Getenv("MAIL_FROM"), cfg.User)
	if o.passwordFile != "" {
		text, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return nil, fmt.Errorf("read --mail-password-file: %w", err)
		}
		cfg.Password = strings.TrimSpace(string(text))
	}
	link, err := url.Parse(o.link)
	if err != nil || link.Host == "" || link.Scheme != "https" && link.Scheme != "http" || link.RawQuery != "" || link.Fragment != "" {
		return nil, cmdline.Usagef("flag --mail-link: %q is not https://HOST, to which links in mails are to lead", o.link)
	}
	sender, err := mail.New(cfg)
	if err != nil {
		return nil, cmdline.Usagef("flags --mail-server, --mail-from, --mail-tls: %w", err)
	}
	return &root.Mail{Send: sender.Send, Link: link}, nil
}
