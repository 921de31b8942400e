// SPDX-License-Identifier: Apache-2.0
/* kernel time: big reads of /dev/zero below fetch_block; kernel frames must sit on top of the user chain */
#include "burn.h"
#include <fcntl.h>
#include <unistd.h>
#ifndef BLOCK
#define BLOCK (1 << 20)
#endif
static char buf[BLOCK]; volatile uint64_t sink;
NOI long fetch_block(int fd) { long r = read(fd, buf, sizeof buf); KEEP(r); return r; }
NOI void fetch_round(int fd) { for (int i = 0; i < 200; i++) sink += fetch_block(fd); }
int main(int argc, char **argv) { int fd = open("/dev/zero", O_RDONLY); double end = now_s() + (argc > 1 ? atof(argv[1]) : 5);
    while (now_s() < end) fetch_round(fd); return 0; }
