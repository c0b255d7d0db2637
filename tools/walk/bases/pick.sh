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
# Scripts among them are linked with nothing, which ldd calls a failure.
{
	realpath "$@"
	{ ldd "$@" 2>/dev/null || true; } | sed -n 's,^.*[[:space:]]\(/[^ ]*\) (0x.*,\1,p' | sort -u | while read -r lib; do
		echo "$(realpath "$(dirname "$lib")")/${lib##*/}" # by the name that it is looked for
	done
} | sort -u | xargs cp --parents -L -t "$to" --
for program in "$@"; do
	[ -e "$to$program" ] || cp -a "$program" "$to/usr/bin/"
done
cp --parents /etc/passwd /etc/group /etc/nsswitch.conf /etc/ssl/certs/ca-certificates.crt "$to"
chmod 1777 "$to/tmp"
