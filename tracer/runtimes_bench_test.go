// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"syscall"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/interpreter/all"
)

// BenchmarkLoadRuntime measures what loading the program of a runtime costs when
// its first process is seen, as CPU time of the process and of the kernel.
func BenchmarkLoadRuntime(b *testing.B) {
	skip.UnlessRoot(b)
	cfg, err := (&Config{}).withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	k, err := loadKernelSide(&cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close() //nolint:errcheck // nothing can be done about it
	for _, r := range all.Runtimes() {
		b.Run(r.Name(), func(b *testing.B) {
			begin := cpuTime(b)
			for b.Loop() {
				c, err := k.loadRuntime(r)
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric((cpuTime(b)-begin).Seconds()*1e3/float64(b.N), "cpu-ms/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
