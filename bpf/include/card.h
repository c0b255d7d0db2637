/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the card's program tells the uplink's of a packet that it has taken the outer headers off. It stands in front of the packet, in the
 * XDP metadata, where nothing that comes by wire can be; but programs of others may leave something there, too.
 */
#ifndef OAK_CARD_H
#define OAK_CARD_H

#include "types.h"

#define OAK_CARD_MAGIC 0x6f616b01 /* "oak", and the form of struct oak_card */

#endif
