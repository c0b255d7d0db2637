// SPDX-License-Identifier: Apache-2.0

// Package kubeproxy owns the rules of a Kubernetes worker: services as kube-proxy's nftables and iptables modes write them,
// masquerading as kube-proxy and flannel have it. It makes text for nft(8) and iptables-restore(8) and knows nothing of who
// loads it.
//
// The forms follow kube-proxy of Kubernetes 1.31 and flannel 0.26. What depends on settings is as they come: services of type
// ClusterIP, no session affinity, no node ports.
package kubeproxy
