// SPDX-License-Identifier: Apache-2.0

package external

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// Files of a prepared broker, in one folder.
const (
	ConfigFile = "mosquitto.conf"
	aclFile    = "acl"
	caFile     = "ca.pem"
	certFile   = "server.pem"
	keyFile    = "server.key"
	dataDir    = "data"
)

// Setup says how mosquitto is to run.
type Setup struct {
	// Dir gets the files; it is created if missing. Mosquitto's own account, User, owns what it has to read.
	Dir, User string
	// Owner is the UID:GID of that account where this machine does not know it; empty for what this machine says.
	Owner string
	// Port is the TCP port that workers and the cluster dial.
	Port uint16
	// Names are DNS names and addresses to certify besides the one that Oakestra's own clients ask for.
	Names []string
	// TTL is how long the broker's certificate is valid: prepare it anew, and have mosquitto reload, before.
	TTL time.Duration
}

// config is mosquitto's. Queues are bounded as the built-in broker's are, and messages as large.
const config = `# Written by "cluster-orchestrator mosquitto": prepare it anew rather than edit it.
user %[1]s
listener %[2]d
cafile %[3]s
certfile %[4]s
keyfile %[5]s
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file %[6]s
allow_zero_length_clientid false
message_size_limit 4194304
max_keepalive 60
max_inflight_messages 256
max_queued_messages 16384
persistence true
persistence_location %[7]s/
autosave_interval 60
log_dest stdout
log_type error
log_type warning
log_type notice
`

// Prepare writes all that mosquitto needs to be the broker of the authority's cluster, and returns its configuration file.
func Prepare(ca *identity.CA, s Setup) (file string, err error) {
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return "", fmt.Errorf("find the folder of mosquitto's files: %w", err)
	}
	owner, err := account(s.User, s.Owner)
	if err != nil {
		return "", err
	}
	cert, key, err := ca.IssueServer(s.TTL, s.Names...)
	if err != nil {
		return "", err
	}
	path := func(name string) string { return filepath.Join(s.Dir, name) }
	for _, d := range []string{s.Dir, path(dataDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return "", fmt.Errorf("make a folder for mosquitto: %w", err)
		}
		if err := owner.own(d); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf(config, s.User, s.Port, path(caFile), path(certFile), path(keyFile), path(aclFile), path(dataDir))
	for name, content := range map[string][]byte{
		caFile: ca.CertPEM(), certFile: append(cert, ca.CertPEM()...), keyFile: key, aclFile: []byte(accessRules()), ConfigFile: []byte(text),
	} {
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			return "", fmt.Errorf("write mosquitto's %s: %w", name, err)
		}
		if err := owner.own(path(name)); err != nil {
			return "", err
		}
	}
	return path(ConfigFile), nil
}

// accessRules are those of the built-in broker, as far as mosquitto can keep them: it cannot refuse a retained message or a client
// id. The cluster ignores the former; by the latter a worker can end another's session, which connects anew, and read or write
// nothing.
func accessRules() string {
	var b strings.Builder
	fmt.Fprintf(&b, "user %s\ntopic readwrite %s\n\n", User, strings.TrimSuffix(wire.Topic("#", ""), "/"))
	for _, name := range broker.Writes() {
		fmt.Fprintf(&b, "pattern write %s\n", wire.Topic("%u", name))
	}
	for _, name := range broker.Reads() {
		if name == wire.TopicNetRoutes {
			name += "+"
		}
		fmt.Fprintf(&b, "pattern read %s\n", wire.Topic("%u", name))
	}
	return b.String()
}
