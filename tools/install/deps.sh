#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, testing and running the testbed take, and says which. With INSTALL=no it only
# checks: it exits 1 and prints what is missing. Services of the packages are neither started nor, if they run, touched.
set -eu

# Package, and what it is for.
packages='
bpftool                 looking into the kernel while debugging
ca-certificates         pulling images and Go modules over TLS
clang                   compiling the BPF programs (make generate)
containerd              running containers
curl                    asking interfaces by hand, as the documents say
iproute2                looking at hosts and links
iptables                rules as kube-proxy writes them, to be measured against
iputils-ping            trying connections by hand
jq                      reading JSON by hand, as the documents say
libbpf-dev              headers of the BPF programs
linux-libc-dev          headers of the BPF programs
llvm                    stripping the BPF objects
mosquitto               an MQTT broker beside the built-in one
nftables                cutting links of the testbed, masquerading
postgresql              the database of the orchestrators
qemu-user-static        trying the programs of other architectures
runc                    running containers
'

# What the walk through the getting-started pages takes besides. Where one of them is not to be had, that test is skipped and says so.
walk='
curl                    asking the REST API as the pages do
debootstrap             base images without a registry
docker-compose          starting the orchestrators as the pages do
docker.io               running the orchestrators in containers
jq                      reading answers as the pages do
'

# 1.26.6 is what go.mod asks for; an older go command fetches that toolchain by itself, but has to know how (1.21).
go_least=1.21

# lacking LIST: which of them are not installed.
lacking() {
	for p in $(printf '%s' "$1" | awk 'NF { print $1 }'); do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
		[ "$status" = installed ] || printf ' %s' "$p"
	done
}
missing=$(lacking "$packages")
wanted=$(lacking "$walk")

if ! command -v go >/dev/null 2>&1; then
	echo "deps: no go command: install Go $go_least or later" >&2
	exit 1
fi

if [ -z "$missing$wanted" ]; then
	echo "deps: all system packages are there"
	exit 0
fi

echo "deps: missing system packages:"
for p in $missing $wanted; do
	printf '%s%s' "$packages" "$walk" | awk -v p="$p" '$1 == p { name = $1; $1 = ""; printf "  %-18s%s\n", name, $0 }'
done
if [ "${INSTALL:-yes}" = no ]; then
	echo "deps: not installed, as INSTALL=no asks; to do it: apt-get install$missing$wanted" >&2
	[ -z "$missing" ]
	exit
fi
if [ "$(id -u)" != 0 ]; then
	echo "deps: installing takes root; as root: apt-get install$missing$wanted" >&2
	[ -z "$missing" ]
	exit
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: this is not Debian: install what these packages hold by hand" >&2
	exit 1
fi

# The testbed has a Postgres of its own; Debian's would make and start another one.
conf=/etc/postgresql-common/createcluster.conf
case "$missing" in *postgresql*)
	if [ ! -e "$conf" ]; then
		mkdir -p "$(dirname "$conf")"
		printf '# Written by make deps: packages make no database cluster by themselves.\ncreate_main_cluster = false\n' >"$conf"
	fi
	;;
esac

# Keeps packages from starting services, for as long as this script runs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
echo "deps: installing them (log: $log)"
# install PACKAGES
install() {
	# shellcheck disable=SC2086 # a list of words
	apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold $1
}
if ! { apt-get update && { [ -z "$missing" ] || install "$missing"; }; } >"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	echo "deps: apt-get failed, see $log: is there a network, and does /etc/apt/sources.list name Debian's main?" >&2
	exit 1
fi
if [ -n "$wanted" ] && ! install "$wanted" >>"$log" 2>&1 </dev/null; then
	tail -n 5 "$log" >&2
	echo "deps: could not install$wanted (log: $log): the walk through the getting-started pages will be skipped" >&2
	wanted=''
else
	rm -f "$log"
fi
echo "deps: installed$missing$wanted"
