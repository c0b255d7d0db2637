// SPDX-License-Identifier: Apache-2.0

// Package machine owns a whole Debian for tests of installing: a file system by debootstrap, kept between runs, and systemd as the first process in
// namespaces of its own (mounts, processes, network, cgroups, host name). What is done there leaves nothing on the machine that the test runs on. It
// needs root, and knows nothing of Oakestra.
package machine
