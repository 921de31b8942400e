// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package reporter

import "testing"

func cpuTime(b *testing.B) int64 {
	b.Helper()
	b.Skip("the CPU time of a process is read where the system is a Unix")
	return 0
}
