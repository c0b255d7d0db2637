// SPDX-License-Identifier: Apache-2.0

// Package names owns how oak-net looks names up: as a container of this worker would, from inside its network namespace, since
// NetManager's resolver answers containers alone, each for its own organisation.
//
// It knows nothing of maps.
package names
