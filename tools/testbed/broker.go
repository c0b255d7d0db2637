// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
)

// Brokers that clusters may have.
const (
	BrokerBuiltin   = "builtin"
	BrokerMosquitto = "mosquitto"
)

// checkBroker refuses a broker that there is not.
func (o Options) checkBroker() error {
	switch o.Broker {
	case "", BrokerBuiltin:
		if o.Standby {
			return errors.New("a standby needs a broker that outlives the active orchestrator: give --broker " + BrokerMosquitto)
		}
		return nil
	case BrokerMosquitto:
		_, err := mosquittoPath()
		return err
	}
	return fmt.Errorf("broker %q: want %s or %s", o.Broker, BrokerBuiltin, BrokerMosquitto)
}

// mosquittoPath finds mosquitto, which Debian puts where only root looks.
func mosquittoPath() (string, error) {
	if path, err := exec.LookPath(progMosquitto); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(filepath.Join("/usr/sbin", progMosquitto))
	if err != nil {
		return "", errors.New("find mosquitto: install the Debian package mosquitto (make deps)")
	}
	return path, nil
}

// mosquitto prepares the broker of a cluster, on the cluster's own host, and returns the component that runs it.
func (t *Testbed) mosquitto(ctx context.Context, h Host) (Component, error) {
	path, err := mosquittoPath()
	if err != nil {
		return Component{}, err
	}
	prepare := exec.CommandContext(ctx, t.state.program(progCluster), "mosquitto", //nolint:gosec // our own program
		"--database", databaseURL(h.Name), "--dir", t.layout().disk(h.Name, progMosquitto), "--port", mqttPort, "--user", "root")
	prepare.Env, prepare.Dir = env(t.state.Dir, Machine), "/"
	var errs bytes.Buffer
	prepare.Stderr = &errs
	out, err := prepare.Output()
	if err != nil {
		return Component{}, fmt.Errorf("prepare the broker of %s: %w\n%s", h.Name, err, indent(strings.TrimSpace(errs.String())))
	}
	c := t.component(progMosquitto, h.Name, path, "-c", strings.TrimSpace(string(out)))
	c.Socket = net.JoinHostPort(h.Address, mqttPort)
	c.Ready = Probe{Address: c.Socket}
	return c, nil
}
