// SPDX-License-Identifier: Apache-2.0

// Package joining owns the command that somebody types on a machine to have it join the tier above: who issues a token prints it whole;
// and what a cluster may be called. It knows no token's inside but its role, and dials nobody.
package joining

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// Where machines look for their token unless told otherwise.
const (
	WorkerTokenFile  = "/etc/oakestra/worker.token"
	ClusterTokenFile = "/etc/oakestra/cluster.token"
)

// The ports that are not named in a command, since they are what programs take by themselves.
const (
	ClusterPort = 10100
	RootPort    = 10000
)

// Composition is the file that starts a cluster in containers, as seen from the repository's folder.
const Composition = "orchestrators/compose/cluster-orchestrator.yaml"

// WorkerCommand prints, typed on the machine of a cluster in containers, the whole command by which a worker joins it.
const WorkerCommand = "sudo docker exec $(sudo docker ps -q -f label=com.docker.compose.service=cluster) /cluster-orchestrator token create --address <ADDRESS OF THE CLUSTER ORCHESTRATOR>"

// ClusterNames says what [ClusterName] takes.
const ClusterNames = "must be 1 to 63 letters, digits, dots, dashes or underscores and start with a letter or digit"

var clusterName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)

// ClusterName reports whether a cluster may be called that.
func ClusterName(s string) bool { return clusterName.MatchString(s) }

// Machine is what is known of a machine that is to join, and of whom it joins.
type Machine struct {
	// Token is the value of its token, which says by its role what the machine becomes, and whose authority it is to trust.
	Token string
	// Host is the name or address of whom it joins, as seen from the machine; empty if it is not known, upon which a place to fill in is left.
	Host string
	// Port is the port there; 0 for the usual one.
	Port int
	// Name is what people are to call it; empty for the machine's host name. Location is where it is, or empty.
	Name, Location string
	// TokenFile is where the token goes; empty for where it is looked for.
	TokenFile string
	// Program has a cluster started as a program of the machine, not in containers. Its database is named by OAK_DATABASE then.
	Program bool
}

// Command is one line for a shell on the machine: it writes the token to a file that root alone can read, and starts what joins. The token stands in
// no list of processes, since printf is a part of the shell.
func (m Machine) Command() (string, error) {
	token, err := pki.ParseToken(m.Token)
	if err != nil {
		return "", fmt.Errorf("make the command to join: %w", err)
	}
	usual, start := WorkerTokenFile, m.worker
	if token.Role == pki.RoleCluster {
		usual, start = ClusterTokenFile, m.cluster
	}
	file := m.TokenFile
	if file == "" {
		file = usual
	}
	return fmt.Sprintf("printf '%%s\\n' %s | sudo install -D -m 600 /dev/stdin %s && %s", token, quote(file), start(file, usual)), nil
}

func (m Machine) worker(file, usual string) string {
	words := []string{"sudo", "NodeEngine", "-a", m.host("<ADDRESS OF THE CLUSTER ORCHESTRATOR>")}
	if m.Port != 0 && m.Port != ClusterPort {
		words = append(words, "-p", strconv.Itoa(m.Port))
	}
	if file != usual {
		words = append(words, "--join-token-file", quote(file))
	}
	if m.Name != "" {
		words = append(words, "--name", quote(m.Name))
	}
	if m.Location != "" {
		words = append(words, "--location", quote(m.Location))
	}
	return strings.Join(words, " ")
}

func (m Machine) cluster(file, usual string) string {
	host, port, name := m.host("<ADDRESS OF THE ROOT ORCHESTRATOR>"), m.Port, quote(m.Name)
	if strings.Contains(m.Host, ":") {
		host = "'[" + m.Host + "]'"
	}
	if port == 0 {
		port = RootPort
	}
	if m.Name == "" {
		name = `"$(hostname)"`
	}
	if m.Program {
		words := []string{"sudo", "-E", "cluster-orchestrator", "--root-url", fmt.Sprintf("https://%s:%d", host, port), "--join-token-file", quote(file), "--name", name}
		if m.Location != "" {
			words = append(words, "--location", quote(m.Location))
		}
		return strings.Join(words, " ")
	}
	// Exported, since every further command with the composition needs them.
	words := []string{"export", "SYSTEM_MANAGER_URL=" + host}
	if port != RootPort {
		words = append(words, "SYSTEM_MANAGER_PORT="+strconv.Itoa(port))
	}
	words = append(words, "CLUSTER_NAME="+name, "CLUSTER_LOCATION="+quote(m.Location))
	if file != usual {
		words = append(words, "CLUSTER_TOKEN_FILE="+quote(file))
	}
	return strings.Join(append(words, "&&", "sudo", "-E", "docker-compose", "-f", Composition, "up", "-d"), " ")
}

func (m Machine) host(unknown string) string {
	if m.Host == "" {
		return unknown
	}
	return quote(m.Host)
}

// printed is a token among other text.
var printed = regexp.MustCompile(`\boak1\.[a-z0-9]+\.[a-z]+\.[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\b`)

// TokenIn returns the first token in a text, such as a command to join with; "" if there is none.
func TokenIn(text string) string {
	for _, candidate := range printed.FindAllString(text, -1) {
		if t, err := pki.ParseToken(candidate); err == nil {
			return t.String()
		}
	}
	return ""
}

// plain are words that mean themselves to every shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:,@%+-]+$`)

// quote writes a text so that a shell takes it for one word.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Here is the address by which other machines most likely reach this one: that with which it reaches others. Empty in a container, whose addresses
// mean nothing to others, and without a network.
func Here() string {
	if _, err := os.Stat("/.dockerenv"); err == nil {
		return ""
	}
	// Addresses of documentation: nothing is sent, the kernel only looks for a route.
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		at, ok := c.LocalAddr().(*net.UDPAddr)
		_ = c.Close()
		if ok && !at.IP.IsLoopback() && !at.IP.IsLinkLocalUnicast() {
			return at.IP.String()
		}
	}
	return ""
}

// SplitAddress reads HOST or HOST:PORT, the host of which may be an IPv6 address with or without brackets; 0 stands for no port.
func SplitAddress(s string) (host string, port int, err error) {
	if ip := net.ParseIP(strings.Trim(s, "[]")); ip != nil {
		return ip.String(), 0, nil
	}
	host = s
	if strings.Contains(s, ":") {
		h, p, err := net.SplitHostPort(s)
		if err != nil {
			return "", 0, fmt.Errorf("%q is neither HOST nor HOST:PORT", s)
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("%q: %q is no port from 1 to 65535", s, p)
		}
		host, port = h, int(n)
	}
	if host == "" || !plain.MatchString(host) || strings.ContainsAny(host, "/@,") {
		return "", 0, fmt.Errorf("%q is no host name or address", s)
	}
	return host, port, nil
}
