// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

const (
	atHeaps       = 0x100000
	atHeap        = 0x110000
	atQueue       = 0x120000
	heapLow       = 0x7e0000000000
	heapHigh      = heapLow + 0x1000000
	atSegmap      = 0x7d0000000000
	atInterpreter = heapLow + 0x4000
)

// heapMachine has code heaps and an interpreter of two codelets.
func heapMachine(t *testing.T, version string) machine {
	t.Helper()
	m := newMachine(t, version)
	l := m.l
	if l.codeCache.heaps != 0 {
		m.word(l.codeCache.heaps+testBias, atHeaps)
		m.field(atHeaps, l.growableArray.length, 1)
		m.field(atHeaps, l.growableArray.data, atHeaps+0x100)
		m.word(atHeaps+0x100, atHeap)
	} else {
		m.word(l.codeCache.heap+testBias, atHeap)
	}
	m.field(atHeap+l.codeHeap.memory.offset, l.virtualSpace.lowBoundary, heapLow)
	m.field(atHeap+l.codeHeap.memory.offset, l.virtualSpace.highBoundary, heapHigh)
	m.field(atHeap+l.codeHeap.segmap.offset, l.virtualSpace.low, atSegmap)
	m.field(atHeap, l.codeHeap.log2SegmentSize, 7)
	m.word(l.interpreter+testBias, atQueue)
	m.word(l.continuationPC+testBias, atCode)
	m.field(atQueue, l.stubQueue.buffer, atInterpreter)
	m.field(atQueue, l.stubQueue.limit, 0x1000)

	codelet := func(at, size, name uint64, description string) {
		m.field(at, l.codelet.description, name)
		m.field(at, l.codelet.length, size)
		m.put(name, append([]byte(description), 0))
	}
	codelet(atInterpreter, 0x100, atNames+0x100, "result handlers")
	codelet(atInterpreter+0x100, 0x200, atNames+0x200, "method entry point (kind = zerolocals)")
	codelet(atInterpreter+0x300, 0x100, atNames+0x300, "native method entry point (kind = java_lang_math_sin)")
	codelet(atInterpreter+0x400, 0xc00, atNames+0x400, "nop")
	// pop rax; lea r14, [rsp+rcx*8-8]; ...; push rax; push rbp; mov rbp, rsp; push r13; push 0; push rbx
	m.put(atInterpreter+0x180, []byte{
		0x58, 0x4c, 0x8d, 0x74, 0xcc, 0xf8, 0x85, 0xd2, 0x50, 0x55, 0x48, 0x8b, 0xec, 0x41, 0x55, 0x6a, 0x00, 0x53,
	})
	return m
}

func TestRecord(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8", "17", "25"} {
		m := heapMachine(t, version)
		r, err := m.l.newRecord(m.memory(), testBias)
		if err != nil {
			t.Errorf("version %s: %v", version, err)
			continue
		}
		if r.CodeLow != heapLow || r.CodeHigh != heapHigh || r.Heap[0].Segmap != atSegmap || r.Heap[0].Shift != 7 || r.Heap[1].High != 0 {
			t.Errorf("version %s: heaps %x", version, r.Heap)
		}
		if r.InterpreterLow != atInterpreter || r.InterpreterHigh != atInterpreter+0x1000 {
			t.Errorf("version %s: interpreter %x to %x", version, r.InterpreterLow, r.InterpreterHigh)
		}
		if r.EntriesLow != atInterpreter+0x100 || r.EntriesHigh != atInterpreter+0x400 {
			t.Errorf("version %s: entries %x to %x", version, r.EntriesLow, r.EntriesHigh)
		}
		e := r.Entry[0]
		if e.Start != atInterpreter+0x100 || e.Size != 0x200 || e.Popped != 0x80 || e.Pushed != 0x89 || e.Done != 0x92 || r.Entry[1].Size != 0 {
			t.Errorf("version %s: entry %+v", version, e)
		}
	}
}

func TestRecordOfDamagedMemory(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8", "17", "25"} {
		m := heapMachine(t, version)
		for seed := range uint64(300) {
			i := m.instance()
			i.memory = noisy(m.memory(), seed)
			_, _ = i.newRecord()
		}
	}
}

func TestRecordTooEarly(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8", "17", "25"} {
		m := heapMachine(t, version)
		for _, at := range []uint64{m.l.codeCache.heap, m.l.codeCache.heaps, m.l.interpreter} {
			if at == 0 {
				continue
			}
			was := m.image[at+testBias]
			m.word(at+testBias, 0)
			if _, err := m.l.newRecord(m.memory(), testBias); !errors.Is(err, interpreter.ErrNotReady) {
				t.Errorf("version %s: %v", version, err)
			}
			m.put(at+testBias, was)
		}
	}
}

// tablesImage makes the exported tables, with one entry each.
func tablesImage() (image, [4]tableAddresses) {
	m := image{}
	var out [4]tableAddresses
	offsets := [][]uint64{{0, 8, 24, 32, 40, 16}, {0, 8}, {0, 8}, {0, 8}}
	names := uint64(0x5000)
	name := func(s string) uint64 {
		at := names
		m.put(at, append([]byte(s), 0))
		names += 64
		return at
	}
	for i, members := range offsets {
		a := &out[i]
		vars := uint64(0x1000 + i*0x200) //nolint:gosec // small
		entries := uint64(0x2000 + i*0x400)
		a.table, a.stride = vars, vars+8
		m.word(vars+testBias, entries)
		m.word(vars+8+testBias, 48)
		for k, off := range members {
			at := vars + 16 + uint64(k)*8 //nolint:gosec // small
			a.members = append(a.members, at)
			m.word(at+testBias, off)
		}
		switch i {
		case 0:
			for k, v := range []uint64{name("Method"), name("_code"), name("nmethod*"), 1, 7, 0x9000} {
				m.word(entries+uint64(k)*8, v) //nolint:gosec // small
			}
		default:
			m.word(entries, name("Name"))
			m.word(entries+8, uint64(40+i)) //nolint:gosec // small
		}
		m.put(entries+48, make([]byte, 48))
	}
	return m, out
}

func TestTables(t *testing.T) {
	t.Parallel()
	m, addrs := tablesImage()
	got, err := readTables(m.memory(), testBias, addrs)
	if err != nil {
		t.Fatal(err)
	}
	if f := got.fields["Method::_code"]; f != (vmField{offset: 7, address: 0x9000, static: true, typ: "nmethod*"}) {
		t.Errorf("field %+v", f)
	}
	if got.sizes["Name"] != 41 || got.consts["Name"] != 43 {
		t.Errorf("types %v, constants %v", got.sizes, got.consts)
	}
	m.word(addrs[0].stride+testBias, 0)
	if _, err := readTables(m.memory(), testBias, addrs); !errors.Is(err, interpreter.ErrNotReady) {
		t.Errorf("before the constructors have run: %v", err)
	}
	for _, stride := range []uint64{8, 1 << 40} {
		m.word(addrs[0].stride+testBias, stride)
		if _, err := readTables(m.memory(), testBias, addrs); !errors.Is(err, errTables) {
			t.Errorf("entries of %d bytes: %v", stride, err)
		}
	}
}

// A table that never ends, and names that do not.
func TestTablesWithoutEnd(t *testing.T) {
	t.Parallel()
	_, addrs := tablesImage()
	memory := process.NewMemoryFunc(func(b []byte, _ uint64) error {
		for i := range b {
			b[i] = []byte{16, 0, 0, 0, 0, 0, 0, 0}[i%8]
		}
		return nil
	})
	if _, err := readTables(memory, testBias, addrs); err == nil {
		t.Error("no error")
	}
}

func FuzzTables(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3))
	f.Fuzz(func(_ *testing.T, a, b, c uint64) {
		m, addrs := tablesImage()
		for at := range m {
			if at%3 == a%3 {
				m.put(at, binary.LittleEndian.AppendUint64(nil, b))
			}
		}
		_, _ = readTables(noisy(m.memory(), c), testBias, addrs)
	})
}

func FuzzEntryCode(f *testing.F) {
	f.Add(append(append([]byte{}, popsAddress...), append(makesFrame, pushesMethod)...))
	f.Fuzz(func(t *testing.T, code []byte) {
		var popped, pushed, done uint32
		if findFrame(code, &popped, &pushed, &done) && (popped > pushed || pushed >= done || int(done) > len(code)) {
			t.Errorf("popped %d, pushed %d, done %d of %d", popped, pushed, done, len(code))
		}
	})
}

func TestVersionText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"x\x00OpenJDK 64-Bit Server VM (17.0.2+8) for linux-amd64 JRE (17.0.2+8), built\x00": "17.0.2+8",
		"\x00OpenJDK 64-Bit Zero VM (17.0.2+8) for linux-amd64 JRE":                          "17.0.2+8 Zero VM",
		") for linux-": "",
		"nothing":      "",
	} {
		if got := versionIn([]byte(in)); got != want {
			t.Errorf("%q has version %q, want %q", in, got, want)
		}
	}
}
