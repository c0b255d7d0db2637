// SPDX-License-Identifier: Apache-2.0

package install

import (
	"strings"
)

// MaintainerScripts are what Debian's package of a service does when it is installed and removed, by nfpm's names.
func MaintainerScripts(s Service) map[string][]byte {
	out := map[string][]byte{}
	name := strings.ToLower(s.Program)
	for script, parts := range map[string][]string{
		"postinstall": {s.makeUser(), s.begin()},
		"preremove":   {s.end()},
		"postremove":  {s.forget()},
	} {
		text := "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\nset -e\n" + strings.Join(parts, "")
		out[script] = []byte(strings.NewReplacer("@program@", s.Program, "@name@", name, "@user@", s.User, "@state@", s.State, "@config@", ConfigDir,
			"@netconfig@", NetConfigDir).Replace(text))
	}
	return out
}

func (s Service) makeUser() string {
	if s.User == "" {
		return ""
	}
	return `
if [ "$1" = configure ] && ! getent passwd @user@ >/dev/null; then
	adduser --system --quiet --group --home @state@ --no-create-home --gecos "Oakestra @program@" @user@
fi
`
}

// begin has an upgraded program run at once, and leaves it to the administrator to start a new one: it has to be configured first.
func (s Service) begin() string {
	return `
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$2" ]; then
		systemctl try-restart @name@.service
	fi
fi
if [ "$1" = configure ] && [ -z "$2" ]; then
	echo "@program@ is installed and not started. Configure it in @config@/@name@.env, then: systemctl enable --now @name@"
fi
`
}

// end stops the program, and has one of a worker take back what it has put into the kernel and into containerd. An upgrade leaves all that.
func (s Service) end() string {
	text := `
[ "$1" = remove ] || exit 0
if [ -d /run/systemd/system ]; then
	systemctl disable --now @name@.service
fi
`
	if s.User == "" {
		text += `@program@ uninstall || echo "@program@ could not take back all that it has made: call '@program@ uninstall' again, before it is gone" >&2
`
	}
	return text
}

func (s Service) forget() string {
	text := `
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf @state@ @config@/@name@.env
	rmdir --ignore-fail-on-non-empty /var/lib/oakestra 2>/dev/null || true
`
	if s.Program == Net.Program {
		text += "	rm -rf @netconfig@\n"
	}
	for _, name := range s.secrets() {
		text += "	rm -f @config@/" + name + "\n"
	}
	return text + `	rmdir --ignore-fail-on-non-empty @config@ 2>/dev/null || true
fi
`
}
