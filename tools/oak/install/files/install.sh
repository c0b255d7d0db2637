#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the programs of a worker that lie beside this script, with their units and configuration. It needs no network, starts nothing, and
# may be run again: configuration that is there is kept. DESTDIR=… installs below another root.
#
#   ./install.sh [ARCHITECTURE]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
built_for=$(cat "$here/ARCHITECTURE")
root=${DESTDIR:-}
bin=$root/usr/local/bin
units=$root/etc/systemd/system

fail() {
	echo "install: $*" >&2
	exit 1
}

# What this machine is, in Debian's words.
machine() {
	case $(uname -m) in
	x86_64) echo amd64 ;;
	aarch64) if [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ]; then echo armhf; else echo arm64; fi ;;
	armv7l | armv8l) echo armhf ;;
	*) uname -m ;;
	esac
}

[ $# -le 1 ] || fail "usage: ./install.sh [ARCHITECTURE]"
if [ $# = 1 ] && [ "$1" != "$built_for" ]; then
	fail "these programs are for $built_for, not for $1: take the archive that ends in _$1.tar.gz"
fi
if [ -z "$root" ]; then
	[ "$(machine)" = "$built_for" ] || fail "these programs are for $built_for, this machine is $(machine): take the archive that ends in _$(machine).tar.gz"
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null 2>&1 || fail "installing takes root: run it as root"
		exec sudo -- "$here/install.sh" "$@"
	fi
fi

# put MODE FROM TO: copies a file in one step, so that a program which runs is not disturbed; says so if anything changes.
put() {
	if [ -f "$3" ] && cmp -s "$2" "$3"; then
		echo "install: $3 is up to date"
		return
	fi
	mkdir -p "$(dirname "$3")"
	cp "$2" "$3.new"
	chmod "$1" "$3.new"
	mv -f "$3.new" "$3"
	echo "install: $3"
}

# keep MODE FROM TO: the same for configuration, which belongs to the machine once it is there.
keep() {
	if [ -e "$3" ]; then
		echo "install: $3 is kept as it is"
	else
		put "$1" "$2" "$3"
	fi
}

[ -f "$here/NodeEngine" ] || [ -f "$here/NetManager" ] || fail "there is neither NodeEngine nor NetManager in $here"

systemd=no
if [ -d "$root/lib/systemd/system" ] || [ -d "$root/usr/lib/systemd/system" ]; then
	systemd=yes
fi

for program in NodeEngine NetManager oak-net; do
	[ -f "$here/$program" ] || continue
	put 755 "$here/$program" "$bin/$program"
	name=$(echo "$program" | tr '[:upper:]' '[:lower:]')
	[ -f "$here/$name.service" ] || continue
	keep 644 "$here/$name.env" "$root/etc/oakestra/$name.env"
	if [ $systemd = yes ]; then
		put 644 "$here/$name.service" "$units/$name.service"
	fi
done
keep 644 "$here/netcfg.json" "$root/etc/netmanager/netcfg.json"

if [ $systemd = no ]; then
	echo "install: there is no systemd here, so no units were installed"
elif [ -z "$root" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

# Both programs come in archives of their own.
[ -x "$bin/NetManager" ] || echo "install: NetManager is not here yet: its archive is NetManager_$built_for.tar.gz"
[ -x "$bin/NodeEngine" ] || echo "install: NodeEngine is not here yet: its archive is NodeEngine_$built_for.tar.gz"
[ -n "$root" ] || [ -S /run/containerd/containerd.sock ] ||
	echo "install: containerd does not run here; NodeEngine needs it: on Debian, apt-get install containerd"
echo "install: done; nothing was started. To start, once $root/etc/netmanager/netcfg.json names the cluster:"
echo "    sudo NetManager -p 6000 & sudo NodeEngine -n 6000 -p 10100"
[ $systemd = no ] || echo "or, at each boot: systemctl enable --now netmanager nodeengine"
