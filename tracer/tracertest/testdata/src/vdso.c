// SPDX-License-Identifier: Apache-2.0
/* nearly all time inside the vDSO's clock_gettime, called from tick_read below tick_round */
#include "burn.h"
volatile uint64_t sink;
NOI uint64_t tick_read(void) { struct timespec t; uint64_t s = 0; for (int i = 0; i < 1000; i++) { clock_gettime(CLOCK_MONOTONIC, &t); s += t.tv_nsec; } KEEP(s); return s; }
NOI void tick_round(void) { for (int i = 0; i < 500; i++) sink += tick_read(); }
int main(int argc, char **argv) { double end = now_s() + (argc > 1 ? atof(argv[1]) : 5); while (now_s() < end) tick_round(); return 0; }
