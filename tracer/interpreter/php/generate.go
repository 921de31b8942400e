// SPDX-License-Identifier: Apache-2.0

package php

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -no-global-types -target amd64,arm64 -tags linux -cflags "-g -O2 -mcpu=v3 -Wall -Werror -fdebug-prefix-map=../../../support/ebpf=. -fdebug-compilation-dir=." -type php_process bpf ../../../support/ebpf/php.bpf.c
