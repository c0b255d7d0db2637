#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian of the same release as this machine's, from the mirror that this machine installs its own packages from.
# $1: the folder to make; $2: the packages, separated by commas.
set -euo pipefail
. /etc/os-release
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" 'Component: main' | head -n 1)
[ -n "$site" ] || { echo "apt knows no mirror of Debian's main: run apt-get update" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
debootstrap --variant=minbase --include="$2" "$VERSION_CODENAME" "$1" "$site" >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
find "$1/var/log" -type f -delete
rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,man,locale,info}
: >"$1"/etc/machine-id
