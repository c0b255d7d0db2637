// SPDX-License-Identifier: Apache-2.0

// Package netmanager owns NodeEngine's side of the local API of NetManager: attach, detach, and the watch that hands over the
// worker's identity and notices when NetManager comes and goes.
//
// It knows nothing of how packets travel.
package netmanager
