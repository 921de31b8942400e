#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the ELF files beside the sources. They are committed, as compilers of
# another version make other code; run this only to change them, and the golden
# files with `go test -update` afterwards. Needs gcc, clang, lld and objcopy.
set -eu
cd "$(dirname "$0")"
out=..
flags='-O2 -fomit-frame-pointer -fno-stack-protector -fasynchronous-unwind-tables -nostdlib -ffreestanding -Wl,--build-id=none -Wl,-z,noseparate-code'

gcc $flags -s -static -fcf-protection=none -Wl,--eh-frame-hdr frames.c -o $out/amd64-gcc.elf
# As static programs of C libraries are: no search table.
gcc $flags -s -static -fcf-protection=none -Wl,--no-eh-frame-hdr frames.c -o $out/amd64-nohdr.elf
# .debug_frame only.
gcc $flags -static -fcf-protection=none -fno-asynchronous-unwind-tables -gdwarf-4 -g1 frames.c -o $out/amd64-debug.tmp
objcopy --only-section=.text --only-section=.debug_frame $out/amd64-debug.tmp $out/amd64-debug.elf
rm $out/amd64-debug.tmp
clang $flags -s -fuse-ld=lld -static -fPIE frames.c -o $out/amd64-clang.elf
clang $flags -s -fuse-ld=lld -static --target=aarch64-linux-gnu -mbranch-protection=pac-ret frames.c -o $out/arm64-pac.elf
clang $flags -s -fuse-ld=lld -static --target=aarch64-linux-gnu -fno-asynchronous-unwind-tables -funwind-tables frames.c -o $out/arm64-sync.elf
# Linkage tables that the linker does not describe.
clang $flags -s -fuse-ld=lld -shared -fPIC -Wl,-z,lazy -Wl,--export-dynamic frames.c -o $out/amd64-plt.elf
chmod -x $out/*.elf
