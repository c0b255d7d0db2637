#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs as the first process of a device: in new mount, process, host name, IPC and cgroup namespaces, and in the device's network namespace.
# It makes a machine of its own out of them, says "ready", and stays until its standard input is closed; the kernel then ends everything on
# the device. $1: folder of the device; $2: its name.
set -euo pipefail
dir=$1 name=$2

mount --make-rprivate /
# As Debian starts: what needs more switches it on.
echo 0 >/proc/sys/net/ipv4/ip_forward
hostname "$name"

# The disk: what this machine has, under a layer of the device's own. What programs write by the gigabyte is on the real disk.
mkdir -p "$dir"/{memory,root,data}
mount -t tmpfs -o mode=0755,size=2g oak-walk "$dir/memory"
mkdir "$dir/memory/upper" "$dir/memory/work"
mount -t overlay -o "lowerdir=/,upperdir=$dir/memory/upper,workdir=$dir/memory/work" oak-walk "$dir/root"
root=$dir/root

# A fresh machine: nothing of Oakestra's, of Docker's, of its users, and of what was put here by hand.
rm -rf "$root"/{etc/oakestra,etc/netmanager,etc/docker,etc/systemd/system/docker.service.d}
for d in root tmp usr/local opt var/lib/oakestra; do
	mkdir -p "$root/$d"
	mount -t tmpfs -o mode=0755 oak-walk "$root/$d"
done
chmod 1777 "$root/tmp"
mkdir -p "$root"/usr/local/{bin,sbin,lib,share} "$root"/var/lib/{docker,containerd} "$root"/etc/containerd
rm -f "$root"/etc/containerd/config.toml "$root"/etc/resolv.conf
cp "$dir/resolv.conf" "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >"$root/etc/hosts"
echo "$name" >"$root/etc/hostname"
cat "$dir/authority.pem" >>"$root/etc/ssl/certs/ca-certificates.crt"
for d in docker containerd; do
	mkdir -p "$dir/data/$d"
	mount --bind "$dir/data/$d" "$root/var/lib/$d"
done

# The repository, as somebody would have cloned it: theirs to write to.
mkdir -p "$root/srv/oakestra" "$dir/memory/clone" "$dir/memory/clone-work"
mount -t overlay -o "lowerdir=$(readlink "$dir/repository"),upperdir=$dir/memory/clone,workdir=$dir/memory/clone-work" oak-walk "$root/srv/oakestra"

mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o ptmxmode=666,newinstance devpts "$root/dev/pts"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir -p "$root/run/lock"
mount -t bpf bpf "$root/sys/fs/bpf"

# Control groups, as the kernel gives them: in a namespace of their own their root is the device's.
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	mkdir "$root/sys/fs/cgroup/init"
	echo $$ >"$root/sys/fs/cgroup/init/cgroup.procs"
	for c in $(cat "$root/sys/fs/cgroup/cgroup.controllers"); do echo "+$c" >"$root/sys/fs/cgroup/cgroup.subtree_control"; done
else
	mount -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
	while read -r kind point; do
		mkdir -p "$root$point"
		case $kind in
		cgroup2) mount -t cgroup2 cgroup2 "$root$point" ;;
		name=*) mount -t cgroup -o "none,$kind" cgroup "$root$point" ;;
		*) mount -t cgroup -o "$kind" cgroup "$root$point" ;;
		esac
	done <"$dir/cgroups"
fi

cd "$root"
mkdir -p "$root/mnt/old"
pivot_root . mnt/old
cd /
umount -l /mnt/old
rm -rf /mnt/old /run/mount

echo ready
# Bash takes in the orphans of the device.
exec 3<&0 0</dev/null
read -r -u 3 _ || true
