// SPDX-License-Identifier: Apache-2.0

//go:build unix

package reporter

import (
	"syscall"
	"testing"
)

// cpuTime is what this process has taken so far, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
