// SPDX-License-Identifier: Apache-2.0

// Go -> C (50%), Go -> C -> Go callback (30%), Go (20%)
package main

/*
#include <stdint.h>
extern uint64_t goHarbour(uint64_t n);
static uint64_t burn(uint64_t n, uint64_t x) { for (uint64_t i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; __asm__ volatile("" : "+r"(x)); } return x; }
__attribute__((noinline)) static uint64_t c_keel(uint64_t n) { uint64_t r = burn(n, 91); __asm__ volatile("" : "+r"(r)); return r; }
__attribute__((noinline)) static uint64_t c_hull(uint64_t n) { uint64_t r = c_keel(n); __asm__ volatile("" : "+r"(r)); return r + 1; }
__attribute__((noinline)) static uint64_t c_pilot(uint64_t n) { uint64_t r = goHarbour(n); __asm__ volatile("" : "+r"(r)); return r + 1; }
*/
import "C"
import (
	"os"
	"strconv"
	"time"
)

var unit, seed uint64 = 200000, 1

// voyage is how long a call takes, in those of a fast machine. The linker may set another:
// Go's monitor wakes up for every call of C, and takes a slow machine its time.
var voyage = "1"

var legs, _ = strconv.ParseUint(voyage, 10, 64)

func jitter() bool {
	seed = seed*6364136223846793005 + 1442695040888963407
	unit = (30000 + (seed>>40)%300000) * legs
	return true
}

var sink uint64

func burn(n, x uint64) uint64 {
	for i := uint64(0); i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

//go:noinline
func harbourLeaf(n uint64) uint64 { return burn(n, 92) }

//export goHarbour
func goHarbour(n C.uint64_t) C.uint64_t { return C.uint64_t(harbourLeaf(uint64(n)) + 1) }

//go:noinline
func quayLeaf(n uint64) uint64 { return burn(n, 93) }

//go:noinline
func sailOut() { sink += uint64(C.c_hull(C.uint64_t(50 * unit))) }

//go:noinline
func sailBack() { sink += uint64(C.c_pilot(C.uint64_t(30 * unit))) }

//go:noinline
func stayHome() { sink += quayLeaf(20 * unit) }
func main() {
	secs := 5.0
	if len(os.Args) > 1 {
		secs, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	end := time.Now().Add(time.Duration(secs * float64(time.Second)))
	for jitter() && time.Now().Before(end) {
		sailOut()
		sailBack()
		stayHome()
	}
}
