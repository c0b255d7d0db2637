// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
)

// maxNetcfg bounds the file, in bytes.
const maxNetcfg = 1 << 20

// ReadNetcfg reads NodePublicAddress and NodePublicPort from a netcfg.json as existing installations have it; other keys are
// ignored. "0.0.0.0" and "" mean the uplink's own address.
func ReadNetcfg(path string) (Public, error) {
	f, err := os.Open(path)
	if err != nil {
		return Public{}, fmt.Errorf("read network configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxNetcfg))
	if err != nil {
		return Public{}, fmt.Errorf("read network configuration: %w", err)
	}
	p, err := parseNetcfg(data)
	if err != nil {
		return Public{}, fmt.Errorf("read network configuration %s: %w", path, err)
	}
	return p, nil
}

func parseNetcfg(data []byte) (Public, error) {
	var file struct {
		NodePublicAddress string
		NodePublicPort    json.RawMessage // a string in some installations, a number in others
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Public{}, err
	}
	var p Public
	if file.NodePublicAddress != "" {
		a, err := netip.ParseAddr(file.NodePublicAddress)
		if err != nil {
			return Public{}, fmt.Errorf("key NodePublicAddress: %w: want an IP address", err)
		}
		if !a.IsUnspecified() {
			p.Address = a.Unmap()
		}
	}
	if len(file.NodePublicPort) > 0 && string(file.NodePublicPort) != "null" {
		text := string(file.NodePublicPort)
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		if text != "" {
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil || port == 0 {
				return Public{}, fmt.Errorf("key NodePublicPort: %q is no port", text)
			}
			p.Port = uint16(port)
		}
	}
	return p, nil
}
