// SPDX-License-Identifier: Apache-2.0

package semantic

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Zone is the domain below which services and their instances have names. It is nobody's on the Internet.
const Zone = "oak"

// maxDNSName is the length of the longest name of the form of [DNSName]: a policy, four names and the zone.
const maxDNSName = len("underutilized.") + 4*31 + len(Zone)

// DNSName is a name below [Zone] taken apart: SERVICE.SERVICENS.APP.APPNS.oak stands for a service's round-robin addresses, with
// "closest." or "underutilized." in front for those of that policy, with a number in front for the instance of that number.
type DNSName struct {
	Service, ServiceNS, App, AppNS string
	Policy                         wire.Policy
	// Number is the instance's, for [wire.PolicyInstance] alone.
	Number int
}

// ErrDNSName is wrapped by every error of [ParseDNSName].
var ErrDNSName = errors.New("not a name of a service or an instance")

// String returns the name in lower case, without a final dot.
func (n DNSName) String() string {
	base := strings.ToLower(n.Service + "." + n.ServiceNS + "." + n.App + "." + n.AppNS + "." + Zone)
	switch n.Policy {
	case wire.PolicyInstance:
		return strconv.Itoa(n.Number) + "." + base
	case wire.PolicyClosest, wire.PolicyUnderutilized:
		return string(n.Policy) + "." + base
	default:
		return base
	}
}

// Base returns the name of the service, which all its names end with.
func (n DNSName) Base() string {
	n.Policy = wire.PolicyRoundRobin
	return n.String()
}

// ParseDNSName reads a name without its final dot, in any case. It is in lower case from then on.
func ParseDNSName(s string) (DNSName, error) {
	if len(s) > maxDNSName {
		return DNSName{}, fmt.Errorf("%w: %d characters, %d at most", ErrDNSName, len(s), maxDNSName)
	}
	s = strings.ToLower(s)
	parts := strings.Split(s, ".")
	n := DNSName{Policy: wire.PolicyRoundRobin}
	if len(parts) == 6 {
		var ok bool
		if n.Policy, n.Number, ok = parseChoice(parts[0]); !ok {
			return DNSName{}, fmt.Errorf("%w: %q: %q is neither closest, underutilized nor an instance's number", ErrDNSName, s, parts[0])
		}
		parts = parts[1:]
	}
	if len(parts) != 5 || parts[4] != Zone {
		return DNSName{}, fmt.Errorf("%w: %q: want SERVICE.SERVICENS.APP.APPNS.%s", ErrDNSName, s, Zone)
	}
	for _, p := range parts[:4] {
		if !ValidName(p) {
			return DNSName{}, fmt.Errorf("%w: %q: part %q does not match %s", ErrDNSName, s, p, NamePattern)
		}
	}
	n.Service, n.ServiceNS, n.App, n.AppNS = parts[0], parts[1], parts[2], parts[3]
	return n, nil
}

// parseChoice reads what stands in front of a service's name.
func parseChoice(s string) (p wire.Policy, number int, ok bool) {
	switch s {
	case string(wire.PolicyClosest), string(wire.PolicyUnderutilized):
		return wire.Policy(s), 0, true
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v > math.MaxInt32 || strconv.FormatUint(v, 10) != s { // each number has one form
		return "", 0, false
	}
	return wire.PolicyInstance, int(v), true
}

// DNSNameOf returns the name of the service that people know as jobName.
func DNSNameOf(jobName string) (DNSName, error) {
	app, appNS, service, serviceNS, err := ParseJobName(strings.ToLower(jobName))
	if err != nil {
		return DNSName{}, err
	}
	return DNSName{Service: service, ServiceNS: serviceNS, App: app, AppNS: appNS, Policy: wire.PolicyRoundRobin}, nil
}

// Suffixes of the names by which addresses are asked for.
const (
	reverseV4 = ".in-addr.arpa"
	reverseV6 = ".ip6.arpa"
)

// ReverseName returns the name by which the name of an address is asked for, without the final dot.
func ReverseName(a netip.Addr) string {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d%s", b[3], b[2], b[1], b[0], reverseV4)
	}
	const digits = "0123456789abcdef"
	b := a.As16()
	name := make([]byte, 0, 4*len(b)+len(reverseV6))
	for i := len(b) - 1; i >= 0; i-- {
		name = append(name, digits[b[i]&15], '.', digits[b[i]>>4], '.')
	}
	return string(name[:len(name)-1]) + reverseV6
}

// ParseReverseName is the inverse of [ReverseName]; it takes any case.
func ParseReverseName(s string) (netip.Addr, bool) {
	if len(s) > 4*16+len(reverseV6) {
		return netip.Addr{}, false
	}
	s = strings.ToLower(s)
	var a netip.Addr
	if rest, ok := strings.CutSuffix(s, reverseV4); ok {
		parts := strings.Split(rest, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, _ = netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
	} else if rest, ok := strings.CutSuffix(s, reverseV6); ok {
		a = parseNibbles(rest)
	}
	return a, a.IsValid() && ReverseName(a) == s // each address has one form
}

// parseNibbles reads 32 hexadecimal digits, the lowest first, with dots between them.
func parseNibbles(s string) netip.Addr {
	const length = 2*32 - 1
	if len(s) != length {
		return netip.Addr{}
	}
	var b [16]byte
	for i := range 32 {
		v, err := strconv.ParseUint(s[2*i:2*i+1], 16, 4)
		if err != nil {
			return netip.Addr{}
		}
		b[15-i/2] |= byte(v) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b)
}
