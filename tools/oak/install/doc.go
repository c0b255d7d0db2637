// SPDX-License-Identifier: Apache-2.0

// Package install owns how Oakestra's programs come onto a machine and leave it again: the units, the configuration to begin with, the
// archives' install.sh, and the commands oak install and oak uninstall. Archives and packages (tools/release) are made of the same files. What
// a program has put into the kernel or into containerd, that program takes away; this package only asks it to.
package install
