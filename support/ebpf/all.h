/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_ALL_H
#define STROBE_ALL_H

/* Everything that a program needs to unwind, in order. */
#include "uapi.h"
#include "counters.h"
#include "kernel.h"
#include "maps.h"
#include "state.h"
#include "tables.h"
#if defined(__TARGET_ARCH_x86)
#include "arch_x86.h"
#else
#include "arch_arm64.h"
#endif
#include "unwind.h"

#endif
