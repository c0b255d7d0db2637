// SPDX-License-Identifier: Apache-2.0

// Package release owns what users download: archives, Debian packages, the list of what is inside each (CycloneDX) and the list of their sums.
// The same source gives the same bytes, wherever and whenever it is built with the same Go: nothing that goes in knows the time, the folder or
// the machine. It does not know how a program is installed: that is tools/oak/install.
package release
