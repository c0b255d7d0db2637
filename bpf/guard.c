// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * Devices that must deliver nothing to the kernel.
 */
#include "include/count.h"

/* On the tunnel's kernel device, which is there for its socket's GRO alone: a packet gets here only past the uplink's program. */
SEC("tc")
int oak_guard(struct __sk_buff *skb)
{
	return oak_dropped(skb, OAK_DROP_TUNNEL_DEVICE);
}

/* On oak-up1, whose frames NetManager has read before they come here. */
SEC("tc")
int oak_sink(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
