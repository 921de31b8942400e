// SPDX-License-Identifier: Apache-2.0
/* three call paths with different frame shapes; 60/30/10 */
#include "burn.h"
#include <alloca.h>
#include <stdarg.h>
#include <string.h>
volatile uint64_t sink;
NOI uint64_t red_leaf(uint64_t n)   { uint64_t r = burn(n, 0x9e3779b97f4a7c15ull); KEEP(r); return r; }
NOI uint64_t blue_leaf(uint64_t n)  { uint64_t r = burn(n, 0xbf58476d1ce4e5b9ull); KEEP(r); return r + 1; }
NOI uint64_t green_leaf(uint64_t n) { uint64_t r = burn(n, 0x94d049bb133111ebull); KEEP(r); return r + 2; }
NOI uint64_t red_vault(uint64_t n)  { char big[6000]; memset(big, (int)n, sizeof big); __asm__ volatile("" :: "r"(big) : "memory");
                                      uint64_t r = red_leaf(n); KEEP(r); return r + (unsigned char)big[n % 6000]; }
NOI uint64_t red_hall(uint64_t n)   { char *p = alloca(16 + n % 977); memset(p, 1, 16); __asm__ volatile("" :: "r"(p) : "memory");
                                      uint64_t r = red_vault(n); KEEP(r); return r + p[3]; }
NOI uint64_t red_gate(uint64_t n)   { uint64_t r = red_hall(n); KEEP(r); return r + 3; }
NOI uint64_t blue_gate(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    uint64_t r = blue_leaf(a); KEEP(r); return r * b + c * d + e * f + g * h; }
NOI uint64_t green_hall(int k, ...) { va_list ap; va_start(ap, k); uint64_t n = va_arg(ap, uint64_t); va_end(ap);
                                      uint64_t r = green_leaf(n); KEEP(r); return r + k; }
NOI uint64_t green_gate(uint64_t n) { uint64_t r = green_hall(1, n, 2, 3); KEEP(r); return r + 4; }
uint64_t (*volatile gate_table[2])(uint64_t) = { red_gate, green_gate };
NOI void palette_round(void) {
    sink += gate_table[0](6 * UNIT);
    sink += blue_gate(3 * UNIT, 1, 2, 3, 4, 5, 6, 7);
    sink += gate_table[1](1 * UNIT);
}
int main(int argc, char **argv) {
    double end = now_s() + (argc > 1 ? atof(argv[1]) : 5);
    while (now_s() < end) palette_round();
    return 0;
}
