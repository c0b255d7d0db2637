// SPDX-License-Identifier: Apache-2.0

// Package scene owns the application that the demo and the end-to-end tests play with: the hello descriptor, its two images,
// a login, and how to have the client's container call somebody. It stands on the testbed and on root's REST API, and looks
// into containerd for what the API does not tell; it checks nothing itself.
package scene
