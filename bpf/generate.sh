#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles every program and cuts Go's types from the one object that has all maps. Run by `go generate`.
# An argument names a folder with sources of the same names to compile instead, for tests that need another build; the results go there too.
set -eu
at=${1:-.}
# The headers of the kernel's user interface lie apart by architecture; what the programs take from them is the same in all.
export BPF2GO_CC=clang
export BPF2GO_CFLAGS="-O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-address-of-packed-member -Werror \
-mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu"
export GOPACKAGE=bpf
# Go gets every type of these headers. One that neither a map nor a program's BTF knows has to be named in maps.c.
types=$(cd "$at/include" && sed -n 's/^\(struct\|enum\) \(oak_[a-z0-9_]*\) {.*/\2/p' types.h peer.h events.h tracetypes.h)
go tool bpf2go -output-dir "$at" -target bpfel $(printf -- '-type %s ' $types) maps "$at/maps.c"
for program in container uplink upcall guard xdp; do
	go tool bpf2go -output-dir "$at" -target bpfel -no-global-types "$program" "$at/$program.c"
done
