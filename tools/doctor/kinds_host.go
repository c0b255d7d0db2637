// SPDX-License-Identifier: Apache-2.0

package doctor

// hostKinds are of the kernel and of what the machine has.
func hostKinds() []Kind {
	return []Kind{
		{
			ID: "not-root", Severity: Error, What: "it runs as a user other than root",
			Why:  "a worker's programs need root, and so does who looks at what they need",
			Cure: []string{"sudo oak doctor worker"}, Hides: []string{"capability-missing"},
		},
		{
			ID: "capability-missing", Severity: Error, What: "this process, or NetManager, lacks a capability",
			Why:  "without it no device is made and no program loaded; a container, or a unit of systemd, may have taken it away",
			Cure: []string{"systemctl edit netmanager   # CapabilityBoundingSet=, AmbientCapabilities= with {capabilities}", "docker run --privileged …   # where it runs in a container"},
		},
		{
			ID: "emulated", Severity: Error, What: "the program is for another machine than the kernel's",
			Why:  "an emulator such as qemu-user hands no BPF programs and few netlink messages to the kernel: what it shows of a worker's kernel is the emulator's, and the dataplane cannot run",
			Cure: []string{"oak doctor worker   # of the package for this machine: see `uname -m`"}, Hides: []string{"bpf-missing", "kernel-unknown", "nftables-missing", "uplink-missing", "kernel-feature", "programs-refused"},
		},
		{
			ID: "kernel-old", Severity: Error, What: "the kernel is older than Linux 6.1",
			Why:  "6.1 is the oldest that the dataplane is tested on; what it needs may be missing, or be there with faults that were mended since",
			Cure: []string{"apt-get install linux-image-$(dpkg --print-architecture)", "reboot"},
		},
		{
			ID: "kernel-feature", Severity: Error, What: "the kernel lacks a feature that nothing stands in for",
			Why:  "NetManager does not start without it",
			Cure: []string{"apt-get install linux-image-$(dpkg --print-architecture)", "reboot"},
		},
		{
			ID: "bpf-missing", Severity: Error, What: "there is no system call bpf",
			Why:  "the dataplane is BPF programs; the kernel was made without CONFIG_BPF_SYSCALL, or something keeps the call from this process",
			Cure: []string{"zgrep BPF_SYSCALL /proc/config.gz", "apt-get install linux-image-$(dpkg --print-architecture)", "reboot"},
		},
		{
			ID: "kernel-unknown", Severity: Warning, What: "it cannot be found out what the kernel can do",
			Why:  "NetManager asks the same when it starts, and ends if it gets no answer",
			Cure: []string{"dmesg | tail", "oak-net check"},
		},
		{
			ID: "programs-refused", Severity: Error, What: "the kernel does not take NetManager's programs",
			Why:  "NetManager does not start; where the architecture is a 32-bit one, its kernel's compiler of BPF programs may lack what they need",
			Cure: []string{"sysctl -w net.core.bpf_jit_enable=1", "apt-get install linux-image-$(dpkg --print-architecture)", "reboot"},
		},
		{
			ID: "bpf-jit-off", Severity: Warning, What: "BPF programs are interpreted",
			Why:  "each packet costs several times as much",
			Cure: []string{"sysctl -w net.core.bpf_jit_enable=1"},
		},
		{
			ID: "btf-missing", Severity: Warning, What: "the kernel does not tell of its types",
			Why:  "the dataplane runs without, but who looks into the kernel with bpftool or bpftrace sees numbers; the kernel was made without CONFIG_DEBUG_INFO_BTF, or /sys is not the kernel's",
			Cure: []string{"ls -l /sys/kernel/btf/vmlinux", "apt-get install linux-image-$(dpkg --print-architecture)", "reboot"},
		},
		{
			ID: "bpffs-missing", Severity: Error, What: "no BPF file system is mounted where NetManager pins",
			Why:   "what is pinned there lets connections outlive NetManager's restarts; NetManager mounts one at its start if it may",
			Cure:  []string{"mount -t bpf bpf {path}"},
			Hides: []string{"datapath", "peer-unreachable"},
		},
		{
			ID: "cgroup-controller", Severity: Error, What: "a cgroup controller is missing",
			Why:  "services' limits of processors, memory and processes could not be kept, and containers do not start",
			Cure: []string{"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&cgroup_enable={controllers} /' /etc/default/grub", "update-grub", "reboot"},
		},
		{
			ID: "cgroup-delegation", Severity: Error, What: "cgroup controllers are there, and may not be given to containers",
			Why:  "containers do not start with limits; mostly this machine is itself a container",
			Cure: []string{"docker run --privileged --cgroupns host …   # where this is a container", "systemctl set-property containerd.service Delegate=yes"},
		},
		{
			ID: "containerd-unreachable", Severity: Error, What: "containerd does not answer",
			Why:  "instances are its containers: NodeEngine starts none, and sees none end",
			Cure: []string{"apt-get install containerd", "systemctl restart containerd", "journalctl -u containerd -n 20"},
		},
		{
			ID: "containerd-old", Severity: Warning, What: "containerd is older than 1.6",
			Why:  "it is not tested with such",
			Cure: []string{"apt-get install containerd"},
		},
		{
			ID: "containerd-snapshotter", Severity: Error, What: "containerd can use neither overlayfs nor native",
			Why:  "images are unpacked with one of them",
			Cure: []string{"modprobe overlay", "systemctl restart containerd"},
		},
		{
			ID: "disk-full", Severity: Error, What: "less than 64 MiB are free for state, or 512 MiB for images",
			Why:  "state is written before anything is done, so that nothing is done any more; images cannot be pulled",
			Cure: []string{"du -xh --max-depth=2 {path} | sort -h | tail", "ctr -n oakestra images prune --all"},
		},
		{
			ID: "inodes-out", Severity: Error, What: "less than 1000 inodes are free",
			Why:  "no file can be made, however much space there is",
			Cure: []string{"du -x --inodes --max-depth=2 {path} | sort -n | tail", "ctr -n oakestra images prune --all"},
		},
		{
			ID: "disk-read-only", Severity: Error, What: "the file system of state or images is read-only",
			Why:  "state cannot be written; Linux does that to a disk that fails",
			Cure: []string{"dmesg | grep -i -e remount -e 'i/o error'", "mount -o remount,rw {path}"},
		},
		{
			ID: "memory-low", Severity: Warning, What: "little memory is available: 64 MiB for root, 96 for a cluster, 128 for a worker are wanted",
			Why:  "the kernel is about to end processes, workloads or these programs",
			Cure: []string{"ps aux --sort=-rss | head"},
		},
		{
			ID: "netcfg-wrong", Severity: Error, What: "netcfg.json cannot be used",
			Why:  "neither NodeEngine nor NetManager starts with it",
			Cure: []string{"editor {file}", "systemctl restart netmanager nodeengine"},
		},
		{
			ID: "netcfg-unknown-key", Severity: Warning, What: "a key of netcfg.json means nothing",
			Why:  "it may be misspelt, and what it was to say is not done",
			Cure: []string{"editor {file}", "systemctl restart netmanager nodeengine"},
		},
		{
			ID: "secrets-key-open", Severity: Error, What: "others than its owner can read root's key of secrets",
			Why:  "with it and a copy of the database all users' secrets can be read",
			Cure: []string{"chmod 600 {file}"},
		},
		{
			ID: "check-timed-out", Severity: Warning, What: "a check has not ended in time",
			Why:  "what it asks hangs: a file system of another machine, a stopped process, an overloaded machine",
			Cure: []string{"ps -eo pid,stat,wchan,cmd | awk '$2 ~ /^[DT]/'"},
		},
	}
}
