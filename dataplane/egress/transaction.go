// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The library writes no masquerading to a range of ports: it leaves out the flag without which the kernel ignores the range. So
// what this package writes it encodes itself, from the library's expressions; reading is the library's.

// writeBuffer is room for some 20,000 rules, in bytes.
const writeBuffer = 8 << 20

// answerTimeout bounds the wait for the kernel's word on a transaction.
const answerTimeout = 10 * time.Second

// chain is one chain of the table and its rules.
type chain struct {
	name string
	// kind, hook and priority are those of a base chain; kind is empty for one that others jump to.
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    []rule
}

// rule is a rule's expressions. One with ports ends by masquerading to them.
type rule struct {
	exprs []expr.Any
	ports *portRange
}

// portRange is first and last port.
type portRange struct{ lo, hi uint16 }

// replace writes the table anew, all of it or nothing.
func replace(chains []chain, mark []byte) error {
	b := &batch{}
	table := []netlink.Attribute{{Type: unix.NFTA_TABLE_NAME, Data: cstring(TableName)}}
	b.add(unix.NFT_MSG_NEWTABLE, netlink.Create, table) // deleting needs one
	b.add(unix.NFT_MSG_DELTABLE, 0, table)
	b.add(unix.NFT_MSG_NEWTABLE, netlink.Create, table)
	for _, c := range chains {
		b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, b.chain(c))
		for _, r := range c.rules {
			b.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, b.rule(c.name, r, mark))
		}
	}
	return b.send()
}

// batch gathers the messages of one transaction, and the first error of encoding them.
type batch struct {
	messages []netlink.Message
	err      error
}

func (b *batch) add(kind int, flags netlink.HeaderFlags, attrs []netlink.Attribute) {
	b.messages = append(b.messages, netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, b.encode(attrs...)...),
	})
}

func (b *batch) encode(attrs ...netlink.Attribute) []byte {
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil && b.err == nil {
		b.err = err
	}
	return data
}

func (b *batch) nested(kind uint16, attrs ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: b.encode(attrs...)}
}

func (b *batch) chain(c chain) []netlink.Attribute {
	attrs := []netlink.Attribute{
		{Type: unix.NFTA_CHAIN_TABLE, Data: cstring(TableName)},
		{Type: unix.NFTA_CHAIN_NAME, Data: cstring(c.name)},
	}
	if c.kind == "" {
		return attrs
	}
	return append(attrs,
		b.nested(unix.NFTA_CHAIN_HOOK,
			number(unix.NFTA_HOOK_HOOKNUM, uint32(*c.hook)), number(unix.NFTA_HOOK_PRIORITY, uint32(*c.priority))),
		netlink.Attribute{Type: unix.NFTA_CHAIN_TYPE, Data: cstring(string(c.kind))},
	)
}

func (b *batch) rule(chain string, r rule, mark []byte) []netlink.Attribute {
	elems := make([]netlink.Attribute, 0, len(r.exprs)+1)
	for _, e := range r.exprs {
		data, err := expr.Marshal(unix.NFPROTO_INET, e)
		if err != nil && b.err == nil {
			b.err = err
		}
		elems = append(elems, netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: data})
	}
	if p := r.ports; p != nil {
		elems = append(elems,
			b.expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_1), b.port(p.lo)),
			b.expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_2), b.port(p.hi)),
			b.expression("masq", number(unix.NFTA_MASQ_FLAGS, unix.NF_NAT_RANGE_PROTO_SPECIFIED),
				number(unix.NFTA_MASQ_REG_PROTO_MIN, unix.NFT_REG_1), number(unix.NFTA_MASQ_REG_PROTO_MAX, unix.NFT_REG_2)))
	}
	return []netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: cstring(TableName)},
		{Type: unix.NFTA_RULE_CHAIN, Data: cstring(chain)},
		b.nested(unix.NFTA_RULE_EXPRESSIONS, elems...),
		{Type: unix.NFTA_RULE_USERDATA, Data: mark},
	}
}

func (b *batch) expression(name string, attrs ...netlink.Attribute) netlink.Attribute {
	return b.nested(unix.NFTA_LIST_ELEM,
		netlink.Attribute{Type: unix.NFTA_EXPR_NAME, Data: cstring(name)}, b.nested(unix.NFTA_EXPR_DATA, attrs...))
}

func (b *batch) port(p uint16) netlink.Attribute {
	return b.nested(unix.NFTA_IMMEDIATE_DATA, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: binaryutil.BigEndian.PutUint16(p)})
}

func number(kind uint16, v uint32) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binaryutil.BigEndian.PutUint32(v)}
}

func cstring(s string) []byte { return append([]byte(s), 0) }

// send has the kernel carry the transaction out. It answers the last message, or the first with an error.
func (b *batch) send() error {
	if b.err != nil {
		return b.err
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	// A transaction is one message to the kernel, however many rules it has.
	if err := conn.SetWriteBuffer(writeBuffer); err != nil {
		return err
	}
	frame := func(kind int) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request},
			Data:   []byte{unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
		}
	}
	all := append([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN)}, b.messages...)
	all[len(all)-1].Header.Flags |= netlink.Acknowledge
	if _, err := conn.SendMessages(append(all, frame(unix.NFNL_MSG_BATCH_END))); err != nil {
		return err
	}
	_, err = conn.Receive()
	return err
}
