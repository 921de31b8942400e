# SPDX-License-Identifier: Apache-2.0
# Recursion: as deep as the first argument says, then work.
import sys, time
depth = int(sys.argv[1])
secs = float(sys.argv[2])
sys.setrecursionlimit(5000)
def summit(n):
    x = 1
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def climb(d):
    if d == 1: return summit(200000)
    return climb(d - 1) + d
sys.stdout.write('runs\n'); sys.stdout.flush(); end = time.time() + secs
while time.time() < end: climb(depth)
