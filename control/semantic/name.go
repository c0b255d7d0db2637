// SPDX-License-Identifier: Apache-2.0

package semantic

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// NamePattern is the form of the names and namespaces of applications and services. They become topics, paths, labels of
// containers and DNS labels, so nothing else may pass.
const NamePattern = `^[a-zA-Z0-9]{1,30}$`

var nameRE = regexp.MustCompile(NamePattern)

// ErrJobName is wrapped by every error of [ParseJobName].
var ErrJobName = errors.New("not a job name")

// ValidName reports whether s has the form of [NamePattern].
func ValidName(s string) bool { return nameRE.MatchString(s) }

// JobName returns the name that people know a service by: APP.APPNS.SERVICE.SERVICENS.
func JobName(app, appNS, service, serviceNS string) string {
	return app + "." + appNS + "." + service + "." + serviceNS
}

// ParseJobName is the inverse of [JobName]; it accepts valid names only.
func ParseJobName(s string) (app, appNS, service, serviceNS string, err error) {
	if len(s) > 4*30+3 {
		return "", "", "", "", fmt.Errorf("%w: %d characters, 123 at most", ErrJobName, len(s))
	}
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return "", "", "", "", fmt.Errorf("%w: %q: expected APP.APPNS.SERVICE.SERVICENS", ErrJobName, s)
	}
	for _, p := range parts {
		if !ValidName(p) {
			return "", "", "", "", fmt.Errorf("%w: %q: part %q does not match %s", ErrJobName, s, p, NamePattern)
		}
	}
	return parts[0], parts[1], parts[2], parts[3], nil
}
