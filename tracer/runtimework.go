// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"context"

	"github.com/strobe-profiler/strobe/libpf"
)

// Recognising a runtime, loading its program and attaching to a process take
// from a millisecond to a second, which pages of unwind tables must not wait for:
// a goroutine of its own does that work, and the event loop is told what it found.

// runtimeJob is a file to look at, or a process.
type runtimeJob struct {
	file *execFile
	pid  libpf.PID
}

// maxRuntimeJobs bounds what waits. What does not fit is asked for again, by the
// kernel side or at the next look at the file.
const maxRuntimeJobs = 1024

// queue hands a job to the goroutine. Before that runs, it does the job at once.
func (m *runtimeManager) queue(j runtimeJob) {
	if !m.working.Load() {
		m.do(j)
		return
	}
	if j.file != nil && !j.file.detectQueued.CompareAndSwap(false, true) {
		return
	}
	select {
	case m.jobs <- j:
	default:
		m.metrics.runtimeError("any", "queue_full")
		if j.file != nil {
			j.file.detectQueued.Store(false)
		}
	}
}

// work does what is queued until ctx ends. wake is called when the event loop has
// something to take.
func (m *runtimeManager) work(ctx context.Context, wake func()) {
	m.working.Store(true)
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-m.jobs:
			m.do(j)
			m.foundMu.Lock()
			found := len(m.found) > 0
			m.foundMu.Unlock()
			if found {
				wake()
			}
		}
	}
}

func (m *runtimeManager) do(j runtimeJob) {
	if j.file != nil {
		m.detect(j.file)
		j.file.detectQueued.Store(false)
		return
	}
	m.attach(j.pid)
}

// noteFound keeps a file that holds a runtime for the event loop.
func (m *runtimeManager) noteFound(f *execFile) {
	m.foundMu.Lock()
	defer m.foundMu.Unlock()
	m.found = append(m.found, f)
}

// takeFound returns the files that were found since the last call.
func (m *runtimeManager) takeFound() []*execFile {
	m.foundMu.Lock()
	defer m.foundMu.Unlock()
	found := m.found
	m.found = nil
	return found
}
