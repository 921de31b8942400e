// SPDX-License-Identifier: Apache-2.0

// Runs through as many kinds of code as fit: each instruction of it, in this
// program and in the C library, must unwind to _start. TestEveryInstruction
// steps through it.

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __aarch64__
#define MARK __asm__ volatile("hint #37") // does nothing
#else
#define MARK __asm__ volatile("int3")
#endif

static volatile unsigned long sink;
static jmp_buf buf;

__attribute__((noinline)) static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) static void on_signal(int sig)
{
	sink += sig;
}

__attribute__((noinline)) static unsigned long fib(unsigned long n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

__attribute__((noinline)) static unsigned long variable(int n)
{
	volatile char x[n];
	memset((char *)x, n, n);
	return x[n / 2];
}

__attribute__((noinline)) static unsigned long realigned(int n, double f)
{
	__attribute__((aligned(64))) volatile double x[8];
	for (int i = 0; i < 8; i++)
		x[i] = f * i;
	return variable(n) + (unsigned long)x[3];
}

__attribute__((noinline)) static void jump(int n)
{
	if (n == 0)
		longjmp(buf, 1);
	jump(n - 1);
	sink++;
}

int main(void)
{
	static char text[2048], copy[2048];
	int v[9];
	struct timespec ts;

	MARK; // from here on
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	for (int i = 0; i < 9; i++)
		v[i] = (i * 7) % 9;
	qsort(v, 9, sizeof(v[0]), compare);
	sink += fib(4) + realigned(40, 1.5);
	sink += snprintf(text, sizeof(text), "%d %s\n", v[3], "words");
	memset(text, 'x', sizeof(text) - 1);
	memcpy(copy, text, sizeof(copy));
	sink += strlen(copy) + strchr(text, 0) - text;
	free(realloc(malloc(100), 100000));
	if (!setjmp(buf))
		jump(5);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	sink += ts.tv_nsec;
	MARK; // to here
	_exit(0);
}
