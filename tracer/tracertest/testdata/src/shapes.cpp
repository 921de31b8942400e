// SPDX-License-Identifier: Apache-2.0
// lambdas, templates, virtual calls, std::function, and exceptions: 50/30/20
#include "burn.h"
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>
volatile uint64_t sink;
namespace shapes {
template <typename T, int K> struct Mill { NOI T grind(T n) { T r = burn(n, 61 + K); KEEP(r); return r; } };
struct Tool { virtual ~Tool() {} virtual uint64_t use(uint64_t n) = 0; };
struct Saw : Tool { Mill<uint64_t, 7> m; NOI uint64_t use(uint64_t n) override { uint64_t r = m.grind(n); KEEP(r); return r + 1; } };
NOI uint64_t lambda_leaf(uint64_t n) { uint64_t r = burn(n, 62); KEEP(r); return r; }
NOI uint64_t through_function(const std::function<uint64_t(uint64_t)> &f, uint64_t n) { uint64_t r = f(n); KEEP(r); return r + 1; }
NOI uint64_t catch_leaf(uint64_t n) { uint64_t r = burn(n, 63); KEEP(r); return r; }
NOI void thrower(int d) { if (d == 0) throw std::runtime_error("x"); thrower(d - 1); sink += d; }
NOI uint64_t catcher(uint64_t n) { try { thrower(5); } catch (const std::exception &e) { uint64_t r = catch_leaf(n); KEEP(r); return r + e.what()[0]; } return 0; }
}
int main(int argc, char **argv) {
    using namespace shapes; std::unique_ptr<Tool> t(new Saw); uint64_t extra = argc;
    std::function<uint64_t(uint64_t)> f = [&](uint64_t n) { uint64_t r = lambda_leaf(n); KEEP(r); return r + extra; };
    double end = now_s() + (argc > 1 ? atof(argv[1]) : 5);
    while (now_s() < end) { sink += t->use(5 * UNIT); sink += through_function(f, 3 * UNIT); sink += catcher(2 * UNIT); }
}
