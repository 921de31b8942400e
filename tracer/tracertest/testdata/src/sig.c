// SPDX-License-Identifier: Apache-2.0
/* a handler that burns: 60% in it, 40% outside; the handler runs below raise() */
#include "burn.h"
#include <signal.h>
volatile uint64_t sink;
NOI uint64_t bell_leaf(uint64_t n) { uint64_t r = burn(n, 21); KEEP(r); return r; }
NOI void on_bell(int s) { uint64_t r = bell_leaf(6 * UNIT); KEEP(r); sink += r + s; }
NOI uint64_t calm_leaf(uint64_t n) { uint64_t r = burn(n, 22); KEEP(r); return r; }
NOI void calm_round(void) { sink += calm_leaf(4 * UNIT); }
NOI void pull_rope(void) { int r = raise(SIGUSR1); KEEP(r); sink += r; }
int main(int argc, char **argv) { struct sigaction sa = { .sa_handler = on_bell }; sigaction(SIGUSR1, &sa, 0);
    double end = now_s() + (argc > 1 ? atof(argv[1]) : 5); while (now_s() < end) { pull_rope(); calm_round(); } return 0; }
