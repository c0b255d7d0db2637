#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles the programs. Run by `go generate`.
set -eu
export BPF2GO_CC=clang GOPACKAGE=bare
export BPF2GO_CFLAGS="-O2 -g -Wall -Wextra -Wno-address-of-packed-member -Werror \
-mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu"
go tool bpf2go -output-dir . -target bpfel -no-global-types bare bare.c
