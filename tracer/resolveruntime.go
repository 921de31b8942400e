// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// madeKey names a frame of a runtime: its words mean something in one process only.
type madeKey struct {
	process processKey
	words   [3]uint64
}

// startUnit is how exact /proc tells when a process started.
const startUnit = uint64(10 * time.Millisecond)

// runtimeKey names the process of a record as /proc does.
func runtimeKey(h *support.StrobeSampleHeader) processKey {
	return processKey{h.Tgid, h.StartTime / startUnit * startUnit}
}

func (k madeKey) hash() uint32 {
	h := uint64(k.process.pid) ^ k.process.start
	for _, w := range k.words {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return uint32(h) ^ uint32(h>>32) //nolint:gosec // folding
}

// runtimeFrames names a frame of a runtime, which may stand for several when its
// compiler inlined.
func (r *resolver) runtimeFrames(h *support.StrobeSampleHeader, words []byte, at, extra int, frames []libpf.Frame) ([]libpf.Frame, bool) {
	key := madeKey{process: runtimeKey(h)}
	for i := range min(1+extra, len(key.words)) {
		key.words[i] = word(words, at+i)
	}
	if known, ok := r.made.Get(key); ok {
		return append(frames, known...), true
	}
	w := key.words[0]
	id := interpreter.ID(w >> frameRuntimeShift & frameRuntimeMask)
	named, err := r.runtimes.symbolize(key.process, h.Ppid, id, interpreter.Frame{
		Subtype: uint8(w >> frameSubtypeShift & 31), //nolint:gosec // masked
		Addr:    w & frameAddrMask, W1: key.words[1], W2: key.words[2],
	})
	if err == nil {
		r.made.Add(key, named)
		return append(frames, named...), true
	}
	reason := "name could not be read"
	label := "symbolize"
	switch {
	case errors.Is(err, errProcessGone):
		reason, label = errProcessGone.Error(), "process_gone"
	case errors.Is(err, interpreter.ErrStale):
		reason, label = interpreter.ErrStale.Error(), "stale"
	case errors.Is(err, process.ErrMemory):
		label = "memory"
	}
	r.metrics.runtimeError(r.runtimes.name(id), label)
	return append(frames, r.errorFrame(id, reason)), false
}

// runtimeError shows where the kernel side could not follow a runtime's frames.
func (r *resolver) runtimeError(w uint64) libpf.Frame {
	return r.errorFrame(interpreter.ID(w>>frameRuntimeShift&frameRuntimeMask),
		interpreter.ErrorText(support.StrobeRuntimeError(w&0xffff)))
}

// missingRuntime shows that a process runs on something whose frames are missing.
func (r *resolver) missingRuntime(h *support.StrobeSampleHeader, d *detected) libpf.Frame {
	return r.errorFrame(d.runtime.ID(), r.runtimes.why(runtimeKey(h), d))
}

// errorFrame is a frame that says what is missing. Its text is its identity.
func (r *resolver) errorFrame(id interpreter.ID, reason string) libpf.Frame {
	t := libpf.UnknownFrame
	if x := r.runtimes.runtime(id); x != nil {
		t = x.FrameType()
	}
	return libpf.Frame{Type: t | libpf.ErrorBit, FunctionName: "[" + r.runtimes.name(id) + ": " + reason + "]"}
}

// runtime returns a runtime by its ID, nil when there is none.
func (m *runtimeManager) runtime(id interpreter.ID) interpreter.Runtime {
	for _, r := range m.runtimes {
		if r.ID() == id {
			return r
		}
	}
	return nil
}

// name returns the name of a runtime for people.
func (m *runtimeManager) name(id interpreter.ID) string {
	if r := m.runtime(id); r != nil {
		return r.Name()
	}
	return "runtime"
}
