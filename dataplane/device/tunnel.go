// SPDX-License-Identifier: Apache-2.0

package device

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// EnsureTunnel makes the tunnel's kernel device on a UDP port and returns its index. A new one is left down: the caller
// attaches the program that drops everything before it sets the device up with [SetUp], so that the device never delivers.
//
// The device is of type vxlan with external and gpe, which the netlink library cannot say: hence the message made here.
func EnsureTunnel(port uint16) (ifindex int, err error) {
	have, err := Find(Tunnel)
	if err != nil {
		return 0, err
	}
	if have != nil {
		right, err := isTunnel(have, port)
		if err != nil {
			return 0, err
		}
		if right {
			return have.Attrs().Index, DisableIPv6(Tunnel)
		}
		if err := netlink.LinkDel(have); err != nil && !IsGone(err) {
			return 0, fmt.Errorf("remove %s, which is not as wanted: %w", Tunnel, err)
		}
	}
	if err := createTunnel(port); err != nil {
		return 0, fmt.Errorf("create %s on UDP port %d: %w (is the kernel's vxlan module there, and the port free?)", Tunnel, port, err)
	}
	made, err := netlink.LinkByName(Tunnel)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", Tunnel, err)
	}
	return made.Attrs().Index, DisableIPv6(Tunnel)
}

// attributeMask takes the flags off an attribute's type.
const attributeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)

// createTunnel is `ip link add oak-vx0 type vxlan external gpe nolearning dstport PORT`.
func createTunnel(port uint16) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(Tunnel)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("vxlan"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_VXLAN_FLOWBASED, nl.Uint8Attr(1))
	data.AddRtAttr(nl.IFLA_VXLAN_LEARNING, nl.Uint8Attr(0))
	data.AddRtAttr(nl.IFLA_VXLAN_PORT, binary.BigEndian.AppendUint16(nil, port))
	data.AddRtAttr(unix.IFLA_VXLAN_GPE, nil)
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// isTunnel tells whether l is what createTunnel makes.
func isTunnel(l netlink.Link, port uint16) (bool, error) {
	if l.Type() != "vxlan" {
		return false, nil
	}
	data, err := linkData(l.Attrs().Index)
	if err != nil {
		return false, fmt.Errorf("read the settings of %s: %w", Tunnel, err)
	}
	flow, p := data[nl.IFLA_VXLAN_FLOWBASED], data[nl.IFLA_VXLAN_PORT]
	_, gpe := data[unix.IFLA_VXLAN_GPE]
	return gpe && len(flow) == 1 && flow[0] == 1 && len(p) == 2 && binary.BigEndian.Uint16(p) == port, nil
}

// linkData returns the kind-specific attributes of a device by their number.
func linkData(ifindex int) (map[uint16][]byte, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(ifindex)
	req.AddData(msg)
	replies, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	for _, reply := range replies {
		if len(reply) < unix.SizeofIfInfomsg {
			continue
		}
		data, err := nested(reply[unix.SizeofIfInfomsg:], unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA)
		if err != nil {
			return nil, err
		}
		found, err := attributes(data)
		if err != nil {
			return nil, err
		}
		return found, nil
	}
	return nil, errors.New("the kernel sent no answer")
}

// nested follows a path of attributes; what is missing is empty.
func nested(data []byte, path ...uint16) ([]byte, error) {
	for _, p := range path {
		at, err := attributes(data)
		if err != nil {
			return nil, err
		}
		data = at[p]
	}
	return data, nil
}

func attributes(data []byte) (map[uint16][]byte, error) {
	list, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil, fmt.Errorf("parse netlink attributes: %w", err)
	}
	out := make(map[uint16][]byte, len(list))
	for _, a := range list {
		out[a.Attr.Type&attributeMask] = a.Value
	}
	return out, nil
}
