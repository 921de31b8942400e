"""Stacks that are easily taken for each other.

left and right call functions of the same name, on the same line, of files with the
same content. brew compiles functions that differ in their names only, one after
another, each of which is gone before the next is made, so that they share addresses.
"""
import random
import sys
import time

import twin_a
import twin_b


def left(n):
    return twin_a.work(n)


def right(n):
    return twin_b.work(n)


def brew(name, n):
    space = {"burn": twin_a.burn.burn}
    exec(compile("def %s(n):\n    return burn(n)\n" % name, "<brewed>", "exec"), space)
    return space[name](n)


def main(seconds):
    random.seed(7)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        unit = random.randint(8000, 12000)
        left(4 * unit)
        right(3 * unit)
        brew("tea", 2 * unit)
        brew("oil", unit)


main(float(sys.argv[1]))
