// SPDX-License-Identifier: Apache-2.0

package kubeproxy

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
)

// Service is one port of a service.
type Service struct {
	// Name is NAMESPACE/NAME:PORT.
	Name string
	// Protocol is "tcp" or "udp".
	Protocol string
	// Address is the service address and the port.
	Address   netip.AddrPort
	Endpoints []netip.AddrPort
}

// Network is what masquerading depends on.
type Network struct {
	// Pods is the range of all containers, Own that of this worker.
	Pods, Own netip.Prefix
}

// hash is the short name of a service or an endpoint, as kube-proxy makes it.
func hash(length int, text string) string {
	sum := sha256.Sum256([]byte(text))
	return base32.StdEncoding.EncodeToString(sum[:])[:length]
}

// Filler makes n services with the given number of endpoints each, to be looked up among. Service addresses come from the
// beginning of services, endpoints from that of pods.
func Filler(n, endpoints int, services, pods netip.Addr) []Service {
	out := make([]Service, n)
	address, pod := services, pods
	for i := range out {
		out[i] = Service{Name: fmt.Sprintf("fill/svc%d:http", i), Protocol: "tcp", Address: netip.AddrPortFrom(address, 80)}
		address = address.Next()
		for range endpoints {
			out[i].Endpoints = append(out[i].Endpoints, netip.AddrPortFrom(pod, 8080))
			pod = pod.Next()
		}
	}
	return out
}
