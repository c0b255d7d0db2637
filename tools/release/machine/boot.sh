#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Becomes the first process of the machine. It is started in new namespaces of mounts, processes, network, host name and cgroups.
# $1: Debian's file system; $2: a folder to mount on; $3: a folder that the machine sees as /stage.
set -euo pipefail
debian=$1 work=$2 stage=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 machine "$work"
mkdir "$work"/{upper,work,root}
root=$work/root
mount -t overlay -o "lowerdir=$debian,upperdir=$work/upper,workdir=$work/work" machine "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for n in null zero full random urandom tty; do
	: >"$root/dev/$n"
	mount --bind "/dev/$n" "$root/dev/$n"
done
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs shm "$root/dev/shm"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs tmp "$root/tmp"
mkdir -p "$root/var/lib/containerd"
mount -t tmpfs containerd "$root/var/lib/containerd" # its overlays cannot lie on another
mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"

# The cgroups as this machine has them, from the machine's own on down.
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
	mount -t tmpfs -o mode=755 cgroup "$root/sys/fs/cgroup"
	while read -r _ at type options _; do
		case $type in
		cgroup2) mkdir "$root$at" && mount -t cgroup2 cgroup2 "$root$at" ;;
		cgroup)
			# Controllers and names alone; the others are options of every file system.
			own=$(tr ',' '\n' <<<"$options" | grep -v -x -E 'rw|ro|nosuid|nodev|noexec|relatime|xattr|release_agent=.*' | paste -s -d ,)
			case $own in name=*) own=none,$own ;; esac
			mkdir "$root$at" && mount -t cgroup -o "$own" cgroup "$root$at"
			;;
		esac
	done < <(grep ' /sys/fs/cgroup/' "$work.mounts")
fi

mkdir "$root/stage"
mount --bind "$stage" "$root/stage"
mount -o remount,bind,ro "$root/stage"
ip link set lo up
echo machine >"$root/etc/hostname"
hostname machine
cd "$root"
mkdir former
pivot_root . former
umount -l former
rmdir former
mount --make-rshared / # as systemd does where it is no container's: units with mounts of their own see what is mounted later
exec env -i container=machine PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /lib/systemd/systemd --log-target=console --log-level=warning --show-status=no
