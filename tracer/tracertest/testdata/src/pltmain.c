// SPDX-License-Identifier: Apache-2.0
/* work in a shared library (70%) and a callback from it into the program (30%), the callback running below libc's qsort half of the time */
#include "burn.h"
uint64_t depot_entry(uint64_t), depot_callback(uint64_t (*)(uint64_t), uint64_t);
volatile uint64_t sink; static uint64_t cmp_n;
NOI uint64_t client_leaf(uint64_t n) { uint64_t r = burn(n, 6); KEEP(r); return r; }
NOI uint64_t client_cb(uint64_t n) { uint64_t r = client_leaf(n); KEEP(r); return r + 1; }
NOI uint64_t sort_leaf(uint64_t n) { uint64_t r = burn(n, 8); KEEP(r); return r; }
int sort_cmp(const void *a, const void *b) { uint64_t r = sort_leaf(cmp_n); KEEP(r); sink += r; return *(const int *)a - *(const int *)b; }
NOI void trade_lib(void) { sink += depot_entry(7 * UNIT); }
NOI void trade_cb(void) { sink += depot_callback(client_cb, UNIT); }
NOI void trade_sort(void) { int v[4] = {1, 2, 3, 4}; cmp_n = 2 * UNIT / 4; qsort(v, 4, sizeof *v, sort_cmp); sink += v[0]; } /* 4 sorted ints: 4 comparisons in glibc's merge sort */
int main(int argc, char **argv) { double end = now_s() + (argc > 1 ? atof(argv[1]) : 5); while (now_s() < end) { trade_lib(); trade_cb(); trade_sort(); } return 0; }
