// SPDX-License-Identifier: Apache-2.0

package datapath

// GenericCards has the kernel run the cards' programs after the driver, which it can for any device. For tests alone.
func (o Options) GenericCards() Options { o.cards = cardsGeneric; return o }

// AnyCards has the driver of any device run them, be it a veth's.
func (o Options) AnyCards() Options { o.cards = cardsAny; return o }
