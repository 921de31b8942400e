/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_UAPI_H
#define STROBE_UAPI_H

/*
 * The numbers of the kernel's BPF interface that are used. They are its ABI and
 * never change; having them here keeps the objects independent of the headers
 * of the machine that compiles them.
 */
#include "types.h"

typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_MMAPABLE = 1 << 10,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

/* What a perf_event program is given: user_pt_regs, then two words. */
#if defined(__TARGET_ARCH_x86)
struct perf_context {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
	u64 sample_period, addr;
};
#elif defined(__TARGET_ARCH_arm64)
struct perf_context {
	u64 regs[31], sp, pc, pstate;
	u64 sample_period, addr;
};
#else
#error "architecture not supported"
#endif

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#endif
