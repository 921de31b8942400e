// SPDX-License-Identifier: Apache-2.0
/* DEPTH frames of climb below a fixed caller, all the work at the bottom; every third round half depth is NOT used: depth is exact */
#include "burn.h"
#ifndef DEPTH
#define DEPTH 60
#endif
volatile uint64_t sink;
NOI uint64_t summit(uint64_t n) { uint64_t r = burn(n, 77); KEEP(r); return r; }
NOI uint64_t climb(int d, uint64_t n) { uint64_t r = d == 1 ? summit(n) : climb(d - 1, n); KEEP(r); return r + d; }
NOI void expedition(void) { sink += climb(DEPTH, 10 * UNIT); }
int main(int argc, char **argv) { double end = now_s() + (argc > 1 ? atof(argv[1]) : 5); while (now_s() < end) expedition(); return 0; }
