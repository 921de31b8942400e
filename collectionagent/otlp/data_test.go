// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"math"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// testNow is the time of the server in tests.
const testNow = libpf.UnixTimeNs(1_700_000_000 * int64(time.Second))

func testOptions(bytes int) *Options {
	return &Options{
		Project: "p", Now: testNow, First: testNow - libpf.UnixTimeNs(time.Hour), Last: testNow + libpf.UnixTimeNs(time.Hour),
		MaxSamples: math.MaxInt32, MaxFrames: 1 << 14, MaxLabels: 64, MaxTextBytes: 64 << 10, Bytes: int64(bytes),
	}
}
