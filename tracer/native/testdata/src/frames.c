// SPDX-License-Identifier: Apache-2.0

// Functions with the kinds of frames that compilers make: none, pushed
// registers, large ones, ones of variable size, and realigned ones. Built
// without a C library; see build.sh.

typedef unsigned long word;

__attribute__((noinline)) word leaf(word a)
{
	return a * 31 + 7;
}

__attribute__((noinline)) word saves(word a, word b)
{
	word c = leaf(a), d = leaf(b);
	return leaf(c + d) + c * d + a;
}

__attribute__((noinline)) word large(word a)
{
	volatile word x[1000];
	for (int i = 0; i < 1000; i++)
		x[i] = leaf(a + i);
	return x[a % 1000];
}

__attribute__((noinline)) word variable(word n)
{
	volatile word x[n + 1];
	for (word i = 0; i <= n; i++)
		x[i] = saves(i, n);
	return x[n / 2];
}

// More arguments than registers: their place must be known in spite of the
// realigned stack, which is what gcc's r10 and its expressions are for.
__attribute__((noinline)) word realigned(word a, word b, word c, word d, word e, word f, word g, word n)
{
	__attribute__((aligned(64))) volatile word x[16];
	volatile word y[n];
	for (int i = 0; i < 16; i++)
		x[i] = leaf(a + i);
	y[0] = b + c + d + e + f;
	return x[3] + variable(x[g & 15] & 7) + y[0];
}

void _start(void)
{
	volatile word sum = 0;
	for (word i = 0;; i++)
		sum += large(i) + realigned(i, 1, 2, 3, 4, 5, 6, 7);
}
