// SPDX-License-Identifier: Apache-2.0

// Package vivaldi owns network coordinates: it places hosts in a space in which distance estimates the round trip between them, from
// some measured round trips (Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network Coordinate System", SIGCOMM 2004; the
// variant with a height and an adaptive step).
//
// The space has three dimensions and a height, which stands for the way from a host to the core of the network and counts in every
// distance. Functions are pure: who measures, keeps and sends coordinates is no matter of this package.
package vivaldi
