#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian file system, with what the base images need, from the mirror that this machine installs its own packages from.
# $1: the archive to write; $2: a folder to work in, on a file system that may hold devices; $3: the packages, separated by commas.
set -euo pipefail
file=$1 work=$2 packages=$3
. /etc/os-release
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" 'Component: main' | head -n 1)
[ -n "$site" ] || { echo "bases: apt knows no mirror of Debian's main: run apt-get update" >&2; exit 1; }
root=$work/root
mkdir "$root"
debootstrap --variant=minbase --include="$packages" "$VERSION_CODENAME" "$root" "$site" >"$work/debootstrap.log" 2>&1 ||
	{ tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
# What no container needs. Postgres runs without LLVM: it compiles no queries then.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/{doc,man,locale,info} \
	"$root"/usr/lib/postgresql/*/lib/{llvmjit*,bitcode} "$root"/usr/lib/*-linux-gnu/libLLVM* "$root"/usr/lib/*-linux-gnu/libz3*
tar -C "$root" --one-file-system -cf "$file.new" .
mv "$file.new" "$file"
