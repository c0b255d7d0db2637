// SPDX-License-Identifier: Apache-2.0

package join

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Identity is what a worker has once it has joined. All certificates and keys are PEM.
type Identity struct {
	Format   int    `json:"format"`
	WorkerID string `json:"worker_id"`
	// Cluster is HOST:PORT of the cluster that issued it.
	Cluster     string `json:"cluster"`
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	// NetCertificate and NetKey are NetManager's, for the same worker.
	NetCertificate string `json:"net_certificate"`
	NetKey         string `json:"net_key"`
	// Brokers are HOST:PORT.
	Brokers []string `json:"brokers"`
}

// keys are made before the cluster is asked.
type keys struct {
	Key    string `json:"key"`
	NetKey string `json:"net_key"`
}

func identityPath(stateDir string) string { return filepath.Join(stateDir, "identity.json") }
func keysPath(stateDir string) string     { return filepath.Join(stateDir, "keys.json") }

// Load returns the stored identity; the error wraps [fs.ErrNotExist] if the worker has not joined.
func Load(stateDir string) (*Identity, error) {
	var id Identity
	if err := statefile.Read(identityPath(stateDir), &id); err != nil {
		return nil, err
	}
	if id.Format > wire.Format {
		return nil, fmt.Errorf("identity in %s was written by a newer program (format %d): upgrade this one", stateDir, id.Format)
	}
	if !pki.ValidID(id.WorkerID) || len(id.Brokers) == 0 {
		return nil, fmt.Errorf("identity in %s is incomplete: remove %s and join with a new token", stateDir, identityPath(stateDir))
	}
	return &id, nil
}

// TLS returns the configuration for the conversation with the cluster's broker.
func (id *Identity) TLS() (*tls.Config, error) {
	return pki.ClientTLS([]byte(id.Certificate), []byte(id.Key), []byte(id.CA))
}

// Local returns what NetManager is handed.
func (id *Identity) Local() wire.LocalIdentity {
	return wire.LocalIdentity{WorkerID: id.WorkerID, Certificate: id.NetCertificate, Key: id.NetKey, CA: id.CA, Brokers: id.Brokers}
}

// loadKeys returns the keys of an earlier attempt, or makes and stores new ones.
func loadKeys(stateDir string) (keys, error) {
	var k keys
	err := statefile.Read(keysPath(stateDir), &k)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	for _, p := range []*string{&k.Key, &k.NetKey} {
		pem, err := pki.NewKey()
		if err != nil {
			return k, fmt.Errorf("make key: %w", err)
		}
		*p = string(pem)
	}
	return k, statefile.Write(keysPath(stateDir), k)
}

// fillHosts puts host in where a broker's address has none, and there mqttPort, if it is not 0, in place of the port.
func fillHosts(brokers []string, host string, mqttPort uint16) ([]string, error) {
	filled := make([]string, 0, len(brokers))
	for _, b := range brokers {
		h, port, err := net.SplitHostPort(b)
		if err != nil {
			return nil, fmt.Errorf("broker address %q from the cluster: %w", b, err)
		}
		if h == "" {
			h = host
			if mqttPort != 0 {
				port = strconv.Itoa(int(mqttPort))
			}
		}
		filled = append(filled, net.JoinHostPort(h, port))
	}
	if len(filled) == 0 {
		return nil, errors.New("the cluster named no MQTT broker")
	}
	return filled, nil
}
