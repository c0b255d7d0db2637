// SPDX-License-Identifier: Apache-2.0

// Package netcfg owns netcfg.json, the file by which existing installations tell a worker about its network: both of the worker's programs
// read it. It knows what the keys mean and how they may be written, not what is done with them.
package netcfg

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Path is where the file is looked for.
const Path = "/etc/netmanager/netcfg.json"

// maxFile bounds the file, in bytes.
const maxFile = 1 << 20

// File is what a netcfg.json says. The zero value says nothing.
type File struct {
	// PublicAddress and PublicPort are where other workers reach this one, if that is not its uplink's address.
	PublicAddress netip.Addr
	PublicPort    uint16
	// Cluster is the host of the cluster orchestrator, MQTTPort the port of the MQTT brokers there.
	Cluster  string
	MQTTPort uint16
	// Uplink names the device towards other workers.
	Uplink string
	// Debug asks for more to be logged.
	Debug bool
	// Warnings name the keys that mean nothing here, in a person's words.
	Warnings []string
}

// meaningless are keys of earlier releases, and why they are not needed.
var meaningless = map[string]string{
	"PublicIPNetworking": "workers behind a NAT are found by what their cluster and their peers see of them",
	"MqttCert":           "a worker's certificate is issued when it joins",
	"MqttKey":            "a worker's key is made when it joins, and never leaves it",
	"Version":            "the file has one form",
}

// Find is [Read] of the file of that path, or if it is empty of the one at [Path], which need not be there.
func Find(path string) (File, error) {
	if path != "" {
		return Read(path)
	}
	f, err := Read(Path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, nil
	}
	return f, err
}

// Read reads a file. A key that is not known is a warning; the error names file, key and reason.
func Read(path string) (File, error) {
	in, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("read network configuration: %w", err)
	}
	defer func() { _ = in.Close() }()
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("read network configuration: %w", err)
	}
	if len(data) > maxFile {
		return File{}, fmt.Errorf("read network configuration %s: it has more than %d bytes", path, maxFile)
	}
	f, err := Parse(data)
	if err != nil {
		return File{}, fmt.Errorf("read network configuration %s: %w", path, err)
	}
	return f, nil
}

// Parse is [Read] of what a file holds.
func Parse(data []byte) (File, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return File{}, fmt.Errorf("it is no JSON object: %w", err)
	}
	var f File
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		known := slices.IndexFunc(table, func(r row) bool { return r.key == key })
		if known < 0 {
			why := meaningless[key]
			if why == "" {
				why = "known are " + strings.Join(names(), ", ")
			}
			if i := slices.IndexFunc(table, func(r row) bool { return strings.EqualFold(r.key, key) }); i >= 0 {
				why = "it is written " + table[i].key
			}
			f.Warnings = append(f.Warnings, fmt.Sprintf("key %q means nothing here: %s", key, why))
			continue
		}
		text, err := plain(fields[key])
		if err == nil && text != "" {
			err = table[known].read(&f, text)
		}
		if err != nil {
			return File{}, fmt.Errorf("key %s: %w", key, err)
		}
	}
	return f, nil
}

// plain is a value that may be written as a string, a number or a boolean; "" for null.
func plain(raw json.RawMessage) (string, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", nil
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", err
		}
		return strings.TrimSpace(s), nil
	case raw[0] == '{' || raw[0] == '[':
		return "", fmt.Errorf("%.40s is no string, number or boolean", raw)
	}
	return string(raw), nil
}

func parsePort(s string, to *uint16) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is no port from 1 to 65535", s)
	}
	*to = uint16(n)
	return nil
}

// publicAddress takes an address; an unspecified one stands for the uplink's own.
func (f *File) publicAddress(s string) error {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is no IP address", s)
	}
	if !a.IsUnspecified() {
		f.PublicAddress = a.Unmap()
	}
	return nil
}

// cluster takes a host, with or without a scheme before it, as installations have both; an unspecified address stands for none.
func (f *File) cluster(s string) error {
	for _, scheme := range []string{"https://", "http://"} {
		s = strings.TrimPrefix(s, scheme)
	}
	s = strings.TrimSuffix(s, "/")
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.Trim(s, "[]")
	if a, err := netip.ParseAddr(s); err == nil && a.IsUnspecified() {
		return nil
	}
	if s == "" || strings.ContainsAny(s, "/ \t\n@") {
		return fmt.Errorf("%q is no host name or address", s)
	}
	f.Cluster = s
	return nil
}

func (f *File) uplink(s string) error {
	const longest = 15 // IFNAMSIZ, less its end
	if len(s) > longest || strings.ContainsAny(s, "/ \t\n") {
		return fmt.Errorf("%q is no name of a network device", s)
	}
	f.Uplink = s
	return nil
}

func (f *File) debug(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	f.Debug = b
	return nil
}
