// SPDX-License-Identifier: Apache-2.0
/* shared by the native subjects: a dependent chain, so time is proportional to n */
#ifndef BURN_H
#define BURN_H
#include <stdint.h>
#include <time.h>
#include <stdlib.h>
#include <stdio.h>
#define NOI __attribute__((noinline, noclone))
#define KEEP(x) __asm__ volatile("" : "+r"(x) : : "memory")
static inline __attribute__((always_inline)) uint64_t burn(uint64_t n, uint64_t x) {
    /* every copy of the loop at the same alignment: else -Os makes some a third slower, and shares are not what n says */
    __asm__ volatile(".p2align 6");
    for (uint64_t i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; __asm__ volatile("" : "+r"(x)); }
    return x;
}
/* the unit changes every round (same for all paths of the round), so that rounds cannot beat against the sampling period */
static uint64_t g_unit = 300000, g_seed = 1;
static double now_s(void) { g_seed = g_seed * 6364136223846793005ull + 1442695040888963407ull; g_unit = 40000 + (g_seed >> 40) % 500000; struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
#define UNIT g_unit
#endif
