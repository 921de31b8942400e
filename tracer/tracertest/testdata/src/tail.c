// SPDX-License-Identifier: Apache-2.0
/* relay_mid ends in a tail call at -O2, so it is NOT on the stack below its callee; inlined_step is inlined (bonus when shown) */
#include "burn.h"
volatile uint64_t sink;
NOI uint64_t relay_leaf(uint64_t n) { uint64_t r = burn(n, 51); KEEP(r); return r; }
NOI uint64_t relay_mid(uint64_t n) { return relay_leaf(n + 1); }
static inline __attribute__((always_inline)) uint64_t inlined_step(uint64_t n) { uint64_t r = relay_mid(n); KEEP(r); return r + 1; }
NOI uint64_t relay_top(uint64_t n) { uint64_t r = inlined_step(n); KEEP(r); return r + 2; }
NOI void relay_round(void) { sink += relay_top(10 * UNIT); }
int main(int argc, char **argv) { double end = now_s() + (argc > 1 ? atof(argv[1]) : 5); while (now_s() < end) relay_round(); return 0; }
