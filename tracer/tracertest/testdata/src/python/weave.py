# SPDX-License-Identifier: Apache-2.0
# Calls that go through C and back: 30 % a key function of sorted(), 25 % an
# __init__ and a property, 25 % a coroutine that awaits another, 20 % a generator
# that yields from another inside of functools.reduce().
import functools, sys, time
secs = float(sys.argv[1])
seed = 1
U = 4000
def jitter():
    global U, seed
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    U = 500 + (seed >> 8) % 7000
    return True
def warp_leaf(n):
    x = 1
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def weft_leaf(n):
    x = 2
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def twill_leaf(n):
    x = 3
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def loop_leaf(n):
    x = 4
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def warp_key(v): return warp_leaf(3 * U) + v
def warp_sort(): return sorted([2, 1], key=warp_key)
class Cloth(object):
    def __init__(self): self.size = self.weft_size
    @property
    def weft_size(self): return weft_leaf(5 * U)
def weft_make(): return Cloth()
async def twill_inner(): return twill_leaf(5 * U)
async def twill_outer(): return await twill_inner()
def twill_run():
    c = twill_outer()
    try: c.send(None)
    except StopIteration as e: return e.value
def loop_inner(): yield loop_leaf(4 * U)
def loop_outer(): yield from loop_inner()
def loop_add(a, b): return a + b
def loop_run(): return functools.reduce(loop_add, loop_outer(), 0)
def loom():
    warp_sort(); weft_make(); twill_run(); loop_run()
sys.stdout.write('runs\n'); sys.stdout.flush(); end = time.time() + secs
while jitter() and time.time() < end: loom()
