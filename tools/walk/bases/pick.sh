#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Copies programs, what they are linked with, and the files that every such image has, to the folder $1.
set -euo pipefail
to=$1
shift
mkdir -p "$to"/{usr/bin,usr/lib,usr/sbin,tmp,etc/nginx,run,var/lib/nginx,var/log/nginx}
for d in bin lib lib64 sbin; do
	[ ! -L "/$d" ] || cp -a "/$d" "$to/"
done
mkdir -p "$to/usr/lib64"
for program in "$@"; do
	cp --parents -L "$(realpath "$program")" "$to"
	[ -e "$to$program" ] || cp -a "$program" "$to/usr/bin/"
	for lib in $(ldd "$program" | grep -o '/[^ ]*'); do
		cp --parents -L "$(realpath "$(dirname "$lib")")/$(basename "$lib")" "$to"
	done
done
cp --parents /etc/passwd /etc/group /etc/nsswitch.conf /etc/ssl/certs/ca-certificates.crt "$to"
chmod 1777 "$to/tmp"
