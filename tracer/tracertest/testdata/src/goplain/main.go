// SPDX-License-Identifier: Apache-2.0

// Named call paths in goroutines, 60/30/10; with pprof labels route=red|blue|green.
package main

import (
	"context"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

var unit, seed uint64 = 200000, 1

func jitter() bool {
	seed = seed*6364136223846793005 + 1442695040888963407
	unit = 30000 + (seed>>40)%300000
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
func cedarLeaf(n uint64) uint64 { return burn(n, 81) }

//go:noinline
func pineLeaf(n uint64) uint64 { return burn(n, 82) + 1 }

//go:noinline
func yewLeaf(n uint64) uint64 { return burn(n, 83) + 2 }

type tree interface{ fell(n uint64) uint64 }
type cedar struct{ rings [64]uint64 }

//go:noinline
func (c *cedar) fell(n uint64) uint64 { return cedarLeaf(n) + c.rings[n%64] }

//go:noinline
func pineWalk(d int, n uint64) uint64 {
	if d == 1 {
		return pineLeaf(n) + 1
	}
	return pineWalk(d-1, n) + uint64(d)
}

//go:noinline
func viaDefer(n uint64) (r uint64) { defer func() { r += yewLeaf(n) }(); return 1 }

func main() {
	secs := 5.0
	if len(os.Args) > 1 {
		secs, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	end := time.Now().Add(time.Duration(secs * float64(time.Second)))
	var t tree = &cedar{}
	for jitter() && time.Now().Before(end) {
		var wg sync.WaitGroup
		run := func(label string, f func() uint64) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				pprof.Do(context.Background(), pprof.Labels("route", label), func(context.Context) { sink += f() })
			}()
		}
		run("red", func() uint64 { return t.fell(60 * unit) })
		run("blue", func() uint64 { return pineWalk(15, 30*unit) })
		run("green", func() uint64 { return viaDefer(10 * unit) })
		wg.Wait()
	}
}
