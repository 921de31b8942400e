# SPDX-License-Identifier: Apache-2.0
# A second interpreter on the main thread, which a function of the first one runs:
# 60 % in the second, 40 % in the first.
import sys, time
secs = float(sys.argv[1])
try: import _interpreters as interpreters
except ImportError: import _xxsubinterpreters as interpreters
inner = '''
import time
def islet_leaf(n):
    x = 1
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def islet_walk(end):
    while time.time() < end: islet_leaf(5000)
'''
def shore_leaf(n):
    x = 2
    for i in range(n): x = (x * 1103515245 + 12345) & 0x7fffffff
    return x
def shore_walk(end):
    while time.time() < end: shore_leaf(5000)
def ferry(end):
    interpreters.run_string(islet, 'islet_walk(%r)' % end)
def voyage():
    global seed
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    unit = 0.002 + (seed >> 8) % 1000 / 50000.0
    ferry(time.time() + 6 * unit)
    shore_walk(time.time() + 4 * unit)
seed = 1
islet = interpreters.create()
interpreters.run_string(islet, inner)
sys.stdout.write('runs\n'); sys.stdout.flush(); end = time.time() + secs
while time.time() < end: voyage()
