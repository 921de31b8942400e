// SPDX-License-Identifier: Apache-2.0
/* many processes of about 20 ms: fork + exec of itself; the child's path is known, the parent only waits */
#include "burn.h"
#include <sys/wait.h>
#include <unistd.h>
#include <string.h>
#ifndef DAY
#define DAY 30 /* units of work of a process */
#endif
volatile uint64_t sink;
NOI uint64_t mayfly_leaf(uint64_t n) { uint64_t r = burn(n, 41); KEEP(r); return r; }
NOI void mayfly_day(void) { sink += mayfly_leaf(DAY * UNIT); }
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "child")) { mayfly_day(); return 0; }
    double end = now_s() + (argc > 1 ? atof(argv[1]) : 5);
    while (now_s() < end) { pid_t p = fork(); if (!p) { execl("/proc/self/exe", argv[0], "child", (char *)0); _exit(1); } waitpid(p, 0, 0); }
    return 0;
}
