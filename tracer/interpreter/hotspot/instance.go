// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// instance is a virtual machine in a process.
type instance struct {
	layout *layout
	bias   uint64
	memory process.Memory
	record bpfHotspotProcess

	methods map[uint64]*method
	stubs   []routine
	// stubsRead is whether stubs have been read since the process started up.
	stubsRead bool
}

// Attach implements [interpreter.Binary].
func (b *library) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	l, err := b.layoutIn(p, m.Bias)
	if err != nil {
		return nil, err
	}
	i := &instance{layout: l, bias: m.Bias, memory: p.Memory, methods: map[uint64]*method{}}
	if i.record, err = i.newRecord(); err != nil {
		return nil, err
	}
	return i, nil
}

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return &i.record }

// Refresh implements [interpreter.Instance]. Where the heaps are is known from the
// start, however much of them is in use; what is set later than they are is all
// that can change.
func (i *instance) Refresh(p *interpreter.Process) (bool, error) {
	if r := &i.record; i.layout.continuationPC == 0 || (r.ContinuationPc != 0 && (r.ChunkStack != 0 || !i.layout.frozenKnown())) {
		return false, nil
	}
	i.memory = p.Memory
	r, err := i.newRecord()
	if err != nil {
		return false, err
	}
	changed := r != i.record
	i.record = r
	return changed, nil
}

// newRecord makes the record of the process.
func (i *instance) newRecord() (bpfHotspotProcess, error) {
	r, err := i.layout.newRecord(i.memory, i.bias)
	if err == nil {
		i.readFrozen(&r)
	}
	return r, err
}

// Close implements [interpreter.Instance].
func (i *instance) Close() {}

// noMember is the offset of a member that a version does not have.
const noMember = 0xffff

func offsetOf(m member) uint16 {
	if !m.there() {
		return noMember
	}
	return uint16(m.offset) //nolint:gosec // at most maxOffset
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// errHeaps reports code heaps that cannot be.
var errHeaps = errors.New("code heaps are not as expected")

// maxRecordOffset is the largest offset of a member that the eBPF program reads:
// it holds that many bytes of a blob's header.
const maxRecordOffset = 384 - 8

// newRecord makes the record of a process for the eBPF program.
func (l *layout) newRecord(memory process.Memory, bias uint64) (bpfHotspotProcess, error) {
	r := bpfHotspotProcess{
		BlockHeader:       uint16(l.heapBlock), //nolint:gosec // at most maxOffset
		BlobName:          offsetOf(l.codeBlob.name),
		BlobFrameComplete: offsetOf(l.codeBlob.frameComplete),
		BlobFrameSize:     offsetOf(l.codeBlob.frameSize),
		MethodCompileId:   offsetOf(l.nmethod.compileID),
		MethodDeopt:       offsetOf(l.nmethod.deopt),
		MethodDeoptMh:     offsetOf(l.nmethod.deoptMH),
		MethodOrigPc:      offsetOf(l.nmethod.origPC),
		MethodConst:       offsetOf(l.method.constMethod),
		ConstConstants:    offsetOf(l.constMethod.constants),
		ConstCodeSize:     offsetOf(l.constMethod.codeSize),
		ConstBytecodes:    uint16(l.constMethod.size), //nolint:gosec // at most maxOffset
		SlotMethod:        l.slotMethod,
		SlotBcp:           l.slotBcp,

		FrameCompleteShort: flag(l.codeBlob.frameComplete.size == 2),
		DeoptIsAddress:     flag(l.nmethod.deoptIsAddress),
		CodeIsAddress:      flag(l.codeBlob.codeBegin.there()),
	}
	r.BlobCode = offsetOf(l.codeBlob.codeOffset)
	if l.codeBlob.codeBegin.there() {
		r.BlobCode = offsetOf(l.codeBlob.codeBegin)
	}
	for _, off := range []uint16{r.BlobName, r.BlobCode, r.BlobFrameComplete, r.BlobFrameSize, r.MethodCompileId, r.MethodOrigPc} {
		if off > maxRecordOffset {
			return r, unsupported("", "header of code is too large")
		}
	}
	heaps, err := l.heaps(memory, bias)
	if err != nil {
		return r, err
	}
	if len(heaps) > len(r.Heap) {
		return r, unsupported("", "too many code heaps")
	}
	r.CodeLow = ^uint64(0)
	for i, at := range heaps {
		if err := l.readHeap(memory, at, &r, i); err != nil {
			return r, err
		}
		r.CodeLow = min(r.CodeLow, r.Heap[i].Low)
		r.CodeHigh = max(r.CodeHigh, r.Heap[i].High)
	}
	queue, err := memory.Uint64(l.interpreter + bias)
	if err != nil {
		return r, fmt.Errorf("find the interpreter: %w", err)
	}
	if queue == 0 {
		return r, interpreter.ErrNotReady
	}
	buffer, err := l.stubQueue.buffer.at(memory, queue)
	if err != nil {
		return r, fmt.Errorf("find the interpreter: %w", err)
	}
	limit, err := l.stubQueue.limit.at(memory, queue)
	if err != nil {
		return r, fmt.Errorf("find the interpreter: %w", err)
	}
	r.InterpreterLow, r.InterpreterHigh = buffer, buffer+limit
	if buffer == 0 || limit == 0 {
		return r, interpreter.ErrNotReady
	}
	if limit > 64<<20 || buffer < r.CodeLow || r.InterpreterHigh > r.CodeHigh {
		return r, fmt.Errorf("%w: the interpreter is elsewhere", errHeaps)
	}
	if l.continuationPC != 0 {
		if r.ContinuationPc, err = memory.Uint64(l.continuationPC + bias); err != nil {
			return r, fmt.Errorf("read continuations: %w", err)
		}
	}
	if err := l.readEntries(memory, &r); err != nil {
		return r, fmt.Errorf("read the interpreter: %w", err)
	}
	return r, nil
}

// maxHeaps bounds how many heaps are looked at.
const maxHeaps = 16

// heaps returns the addresses of the code heaps.
func (l *layout) heaps(memory process.Memory, bias uint64) ([]uint64, error) {
	if l.codeCache.heaps == 0 {
		at, err := memory.Uint64(l.codeCache.heap + bias)
		if err == nil && at == 0 {
			err = interpreter.ErrNotReady
		}
		return []uint64{at}, err
	}
	array, err := memory.Uint64(l.codeCache.heaps + bias)
	if err != nil {
		return nil, fmt.Errorf("find code heaps: %w", err)
	}
	if array == 0 {
		return nil, interpreter.ErrNotReady
	}
	n, err := l.growableArray.length.at(memory, array)
	if err != nil {
		return nil, fmt.Errorf("find code heaps: %w", err)
	}
	data, err := l.growableArray.data.at(memory, array)
	if err != nil {
		return nil, fmt.Errorf("find code heaps: %w", err)
	}
	if n == 0 || data == 0 {
		return nil, interpreter.ErrNotReady
	}
	b, err := memory.Bytes(data, n*8, maxHeaps*8)
	if err != nil {
		return nil, fmt.Errorf("find code heaps: %w", err)
	}
	var out []uint64
	for ; len(b) >= 8; b = b[8:] {
		out = append(out, binary.LittleEndian.Uint64(b))
	}
	return out, nil
}

// readHeap fills in heap i of a record.
func (l *layout) readHeap(memory process.Memory, heap uint64, r *bpfHotspotProcess, i int) error {
	var err error
	read := func(m member, at uint64) (v uint64) {
		if err == nil {
			v, err = m.at(memory, at)
		}
		return v
	}
	h := &r.Heap[i]
	h.Low = read(l.virtualSpace.lowBoundary, heap+l.codeHeap.memory.offset)
	h.High = read(l.virtualSpace.highBoundary, heap+l.codeHeap.memory.offset)
	h.Segmap = read(l.virtualSpace.low, heap+l.codeHeap.segmap.offset)
	shift := read(l.codeHeap.log2SegmentSize, heap)
	if err != nil {
		return fmt.Errorf("read code heap: %w", err)
	}
	if h.Low == 0 || h.High == 0 || h.Segmap == 0 {
		return interpreter.ErrNotReady
	}
	if h.High <= h.Low || h.High-h.Low > 1<<40 || shift < 3 || shift > 20 {
		return fmt.Errorf("%w: heap of %d bytes in segments of 2^%d", errHeaps, h.High-h.Low, shift)
	}
	h.Shift = uint32(shift) //nolint:gosec // bounded above
	return nil
}

// Kinds of frames; see support/ebpf/hotspot.bpf.c.
const (
	frameInterpreted = 1
	frameCompiled    = 2
	frameStub        = 3
)

// noBytecode is the place of an interpreted frame that is at none: in a native method.
const noBytecode = 0xffff

// errFrame reports a frame that cannot be.
var errFrame = errors.New("frame is not as expected")

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	switch f.Subtype {
	case frameInterpreted:
		m, err := i.method(f.Addr)
		if err != nil {
			return out, err
		}
		if m.cookie&^0xffff != f.W1&^0xffff {
			return out, interpreter.ErrStale
		}
		return append(out, m.frame(int(f.W1&0xffff))), nil
	case frameCompiled:
		return i.compiled(f, out)
	case frameStub:
		name, err := i.stub(f)
		if err != nil {
			return out, err
		}
		return append(out, libpf.Frame{Type: libpf.JVMFrame, FunctionName: name}), nil
	}
	return out, fmt.Errorf("%w: kind %d", errFrame, f.Subtype)
}

// routine is a stub with a name of its own.
type routine struct {
	start uint64
	name  string
}

// readStubs reads where the routines are. Some are made late, by a thread of the
// compiler, so that it is done again as long as there are none for an address.
func (i *instance) readStubs() {
	i.stubs = i.stubs[:0]
	for _, v := range i.layout.stubs {
		if at, err := i.memory.Uint64(v.address + i.bias); err == nil && at != 0 {
			i.stubs = append(i.stubs, routine{at, v.name})
		}
	}
	slices.SortFunc(i.stubs, func(a, b routine) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		case a.name < b.name:
			return -1
		}
		return 1
	})
	i.stubsRead = true
}

// maxRoutine is how long a routine may be for an address in it to be named after it.
const maxRoutine = 4096

// stub names a frame of a stub: by the routine that it is in, or else by the blob.
func (i *instance) stub(f interpreter.Frame) (string, error) {
	header := make([]byte, i.layout.codeBlob.size)
	if err := i.memory.Read(header, f.Addr); err != nil {
		return "", fmt.Errorf("read stub: %w", err)
	}
	at := i.layout.codeBlob.name.in(header)
	if uint32(at) != uint32(f.W1>>32) { //nolint:gosec // the lower half is kept
		return "", interpreter.ErrStale
	}
	name, err := i.memory.String(at)
	if err != nil {
		return "", fmt.Errorf("read name of stub: %w", err)
	}
	pc := i.layout.codeBegin(header, f.Addr) + f.W1&0xffffffff
	if l := i.layout; l.callStubReturn != 0 {
		if ret, err := i.memory.Uint64(l.callStubReturn + i.bias); err == nil && ret == pc {
			return "StubRoutines::call_stub", nil
		}
	}
	if !i.stubsRead {
		i.readStubs()
	}
	n, found := slices.BinarySearchFunc(i.stubs, pc, func(r routine, pc uint64) int {
		if r.start < pc {
			return -1
		}
		if r.start > pc {
			return 1
		}
		return 0
	})
	if !found {
		n--
	}
	if n >= 0 && i.stubs[n].start >= f.Addr && pc-i.stubs[n].start < maxRoutine {
		return "StubRoutines::" + i.stubs[n].name, nil
	}
	return name, nil
}

// codeBegin returns where a blob's code begins.
func (l *layout) codeBegin(header []byte, blob uint64) uint64 {
	if l.codeBlob.codeBegin.there() {
		return l.codeBlob.codeBegin.in(header)
	}
	return blob + l.codeBlob.codeOffset.in(header)
}
