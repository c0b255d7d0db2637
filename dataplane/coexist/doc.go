// SPDX-License-Identifier: Apache-2.0

// Package coexist owns the few rules in other people's firewalls that let packets of containers pass where those would drop whatever
// the host forwards, and their lookups of names where those would drop whatever comes in: Docker's, ufw's, firewalld's, or an
// administrator's own policy for iptables. An accept in a table of one's own does not help there, since each table has a word.
//
// Each rule carries a comment that begins with [Mark], stands in the place that the firewall's owner means for such rules, and says of
// packets no more than that they come from or go to a container's device, or ask the resolver. The package works on the network
// namespace of the calling thread.
package coexist
