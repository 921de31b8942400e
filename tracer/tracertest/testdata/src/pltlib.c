// SPDX-License-Identifier: Apache-2.0
#include "burn.h"
NOI uint64_t depot_cut(uint64_t n) { uint64_t r = burn(n, 5); KEEP(r); return r; }
uint64_t depot_entry(uint64_t n) { uint64_t r = depot_cut(n); KEEP(r); return r + 1; }           /* via PLT inside the library too */
uint64_t depot_callback(uint64_t (*f)(uint64_t), uint64_t n) { uint64_t r = f(n); KEEP(r); return r + 1; }
