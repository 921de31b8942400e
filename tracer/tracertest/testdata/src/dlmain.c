// SPDX-License-Identifier: Apache-2.0
/* opens the plugin 3 s after start (so after a profiler attached), and closes and reopens it every 2 s: 50/50 */
#include "burn.h"
#include <dlfcn.h>
volatile uint64_t sink;
NOI uint64_t stem_leaf(uint64_t n) { uint64_t r = burn(n, 12); KEEP(r); return r; }
NOI void stem_round(void) { sink += stem_leaf(5 * UNIT); }
NOI void graft_round(uint64_t (*f)(uint64_t)) { uint64_t r = f(5 * UNIT); KEEP(r); sink += r; }
int main(int argc, char **argv) {
    double t0 = now_s(), end = t0 + (argc > 1 ? atof(argv[1]) : 5), reopen = 0; void *h = 0; uint64_t (*f)(uint64_t) = 0;
    char path[4096]; snprintf(path, sizeof path, "%s.plugin.so", argv[0]);
    while (now_s() < end) {
        stem_round();
        if (now_s() - t0 > 3) {
            if (now_s() > reopen) { if (h) dlclose(h); h = dlopen(path, RTLD_NOW); if (!h) { puts(dlerror()); return 1; }
                f = (uint64_t (*)(uint64_t))dlsym(h, "graft_run"); reopen = now_s() + 2; }
            graft_round(f);
        }
    }
    return 0;
}
