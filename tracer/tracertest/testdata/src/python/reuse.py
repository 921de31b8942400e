# SPDX-License-Identifier: Apache-2.0
# Functions that are compiled, used and thrown away, so that their code objects
# take each other's places in memory: 60 % ash, 30 % elm, 10 % fir. All are in
# the same file, at the same line, with equally long names.
import sys, time
secs = float(sys.argv[1])
seed = 1
source = '''def %s(end, n=5000):
    x = 1
    while now() < end:
        for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
'''
def grow(name):
    scope = {'now': time.time}
    exec(compile(source % name, 'grove.py', 'exec'), scope)
    return scope.pop(name)
places = {}
reused = 0
kept = []
def grove():
    global seed, reused
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    unit = 0.005 + (seed >> 8) % 1000 / 50000.0
    for name, share in (('ash_leaf', 6), ('elm_leaf', 3), ('fir_leaf', 1)):
        f = grow(name)
        place = id(f.__code__)
        reused += places.get(place, name) != name
        places[place] = name
        f(time.time() + unit * share)
        kept.append(f)
        f = None
        if len(kept) > 16: kept.pop(0)
sys.stdout.write('runs\n'); sys.stdout.flush(); end = time.time() + secs
while time.time() < end: grove()
if '-v' in sys.argv: print(reused)
