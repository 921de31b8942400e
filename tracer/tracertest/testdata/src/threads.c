// SPDX-License-Identifier: Apache-2.0
/* three named threads; thread t does its share of the work and sleeps the rest: 60/30/10 */
#define _GNU_SOURCE
#include "burn.h"
#include <pthread.h>
#include <unistd.h>
/* how much work lies between two barriers, which take a kernel its own time */
#ifndef SHIFT
#define SHIFT 1
#endif
static double end; volatile uint64_t sink;
NOI uint64_t oak_leaf(uint64_t n) { uint64_t r = burn(n, 31); KEEP(r); return r; }
NOI uint64_t elm_leaf(uint64_t n) { uint64_t r = burn(n, 32); KEEP(r); return r; }
NOI uint64_t ash_leaf(uint64_t n) { uint64_t r = burn(n, 33); KEEP(r); return r; }
static pthread_barrier_t bar;
#define MK(nm, leaf, k) NOI void nm##_job(void) { uint64_t r = leaf(k * SHIFT * UNIT); KEEP(r); sink += r; } \
  void *nm##_thread(void *a) { pthread_setname_np(pthread_self(), "wk-" #nm); for (;;) { nm##_job(); pthread_barrier_wait(&bar); } return a; }
MK(oak, oak_leaf, 6) MK(elm, elm_leaf, 3) MK(ash, ash_leaf, 1)
int main(int argc, char **argv) { end = now_s() + (argc > 1 ? atof(argv[1]) : 5); pthread_t t; pthread_barrier_init(&bar, 0, 3);
    pthread_create(&t, 0, oak_thread, 0); pthread_create(&t, 0, elm_thread, 0); pthread_create(&t, 0, ash_thread, 0);
    while (now_s() < end) usleep(50000); _exit(0); }
