// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

// TestDescribe: who a process is counts when its samples leave, not when they came.
func TestDescribe(t *testing.T) {
	t.Parallel()
	q := newSampleQueue(16, 1<<20, func() {})
	early, other := &libpf.Process{PID: 1, Service: "3f9c1d0e5b7a"}, &libpf.Process{PID: 2}
	named := &libpf.Process{PID: 1, Service: "web", ContainerName: "shop-web-1"}
	asked := 0
	q.describe = func(p *libpf.Process) *libpf.Process {
		if asked++; p == early {
			return named
		}
		return p
	}
	trace := &libpf.Trace{}
	for i := range 6 {
		p := early
		if i%2 == 1 {
			p = other
		}
		q.add(&libpf.Sample{Trace: trace, Process: p, Count: 1})
	}
	for i, row := range q.lease(16) {
		if want := []*libpf.Process{named, other}[i%2]; row.Process != want {
			t.Errorf("row %d is of %+v", i, row.Process)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times for 2 processes", asked)
	}
}
