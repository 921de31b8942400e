// SPDX-License-Identifier: Apache-2.0

// Package hostile bounds what code under test may take for one foreign input:
// time and memory. Fuzz targets use it: the fuzzer of Go by itself does not notice an
// allocation that a length field asked for, and ends an input after ten seconds only
// while it fuzzes, not when go test runs the inputs that are kept.
package hostile

import (
	"fmt"
	"runtime/metrics"
	"testing"
	"time"
)

const (
	// MaxTime is how long one input may take. It is far above what any does, so that
	// a busy machine is no finding, and it is the same with the race detector.
	MaxTime = time.Minute
	// slack is what every input may allocate whatever its size: tables of fixed
	// size, decoders, logs, and other goroutines of the test.
	slack = 8 << 20
)

// Bound calls f, which works on size foreign bytes. It ends the process, which
// makes the input a finding, when f takes longer than [MaxTime], and fails the test
// when f allocates more than factor bytes for each byte of the input and a slack
// of 8 MiB. All allocations of the process count, also those that were freed, so
// the test must not be a parallel one.
func Bound(t testing.TB, size, factor int, f func()) {
	t.Helper()
	timer := time.AfterFunc(MaxTime, func() {
		panic(fmt.Sprintf("input of %d bytes takes longer than %s", size, MaxTime)) // the only way to end a loop
	})
	defer timer.Stop()
	before := allocated()
	f()
	if grown, limit := allocated()-before, uint64(size)*uint64(factor)+slack; grown > limit { //nolint:gosec // not negative
		t.Errorf("input of %d bytes made the code allocate %d bytes, at most %d are allowed", size, grown, limit)
	}
}

// allocated returns how many bytes the process has allocated since it started.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
