// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// recordedTypes reads testdata/types.json: size and number of the types whose
// maps begin the heap of what never changes, in Deno 2.0 to 2.9 and Node.js 24 to
// 26, by version of V8.
func recordedTypes(t testing.TB) map[string][]heapType {
	t.Helper()
	b, err := os.ReadFile("testdata/types.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][][2]uint16
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string][]heapType{}
	for v, list := range all {
		for _, x := range list {
			out[v] = append(out[v], heapType{x[0], x[1]})
		}
	}
	return out
}

// foundTypes are the types that are looked for.
type foundTypes struct {
	Bytes, TrustedBytes, Bytecode, Stream, Shared, Wrapper, Code, Data, Scope, Array, Script uint16
}

func typesOf(l *layout) foundTypes {
	return foundTypes{
		l.byteArray, l.trustedByteArray, l.bytecodeArray, l.instructionStream, l.shared, l.sharedWrapper,
		l.code, l.interpreterData, l.scopeInfo, l.fixedArray, l.script,
	}
}

func embeddedLayout(t testing.TB, v string) *layout {
	t.Helper()
	c, ok := nearestConstants(parseVersion(t, v))
	if !ok {
		t.Fatalf("no constants for %s", v)
	}
	l, err := layoutOf(parseVersion(t, v), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTypesByNeighbours compares what is found with what V8's table of constants
// says where there is one, and with what was seen where there is none.
func TestTypesByNeighbours(t *testing.T) {
	t.Parallel()
	want := map[string]foundTypes{
		"14.0": {218, 195, 184, 191, 286, 194, 185, 186, 284, 205, 165},
		"14.7": {218, 196, 185, 192, 288, 195, 186, 187, 286, 205, 166},
		"14.9": {218, 196, 185, 192, 278, 195, 186, 187, 276, 205, 167},
		"15.0": {218, 196, 185, 192, 278, 195, 186, 187, 276, 205, 166},
	}
	tables := recorded(t)
	for v, types := range recordedTypes(t) {
		l := embeddedLayout(t, v)
		if err := l.setTypes(types); err != nil {
			t.Errorf("V8 %s: %v", v, err)
			continue
		}
		w, ok := want[v]
		if tables[v] != nil {
			full := recordedLayout(t, v)
			w, ok = typesOf(full), true
			// The rest is the same too.
			full.firstFunction, full.lastFunction, full.markers = l.firstFunction, l.lastFunction, l.markers
			if diff := cmp.Diff(full, l, cmp.AllowUnexported(layout{}, version{})); diff != "" {
				t.Errorf("V8 %s: %s", v, diff)
			}
		}
		if diff := cmp.Diff(w, typesOf(l)); !ok || diff != "" {
			t.Errorf("V8 %s: %s", v, diff)
		}
	}
}

// TestTypesMissing takes types away, one at a time: none may be guessed.
func TestTypesMissing(t *testing.T) {
	t.Parallel()
	full := recordedTypes(t)["15.0"]
	whole := embeddedLayout(t, "15.0")
	if err := whole.setTypes(full); err != nil {
		t.Fatal(err)
	}
	for i := range full {
		less := append(append([]heapType(nil), full[:i]...), full[i+1:]...)
		l := embeddedLayout(t, "15.0")
		if err := l.setTypes(less); err == nil && typesOf(l) != typesOf(whole) {
			t.Errorf("without type %d: %+v", i, typesOf(l))
		}
	}
	if err := embeddedLayout(t, "15.0").setTypes(append(full, full...)); err != nil {
		t.Errorf("twice the same: %v", err)
	}
	twice := append(append([]heapType(nil), full...), heapType{160, 168})
	if err := embeddedLayout(t, "15.0").setTypes(twice); !errors.Is(err, errLayout) {
		t.Errorf("two types of scripts: %v", err)
	}
}

const pageAt = 0x3f00_0004_0000

// readOnlyHeap makes a heap of maps, an array and undefined.
func readOnlyHeap(types []heapType, plain bool, name string) []byte {
	b := make([]byte, readOnlySearch)
	put := func(at int, w uint64) { binary.LittleEndian.PutUint64(b[at:], w) }
	const start = 0x100
	addr := func(off int) uint64 { return uint64(pageAt + off + 1) } //nolint:gosec // small
	first := map[uint16]int{}
	meta := start + 25*mapSize
	for i, t := range types {
		at := start + i*mapSize
		put(at, addr(meta))
		b[at+8] = byte(t.size / 8) //nolint:gosec // small
		binary.LittleEndian.PutUint16(b[at+12:], t.typ)
		if _, ok := first[t.typ]; !ok {
			first[t.typ] = at
		}
	}
	at := start + len(types)*mapSize
	put(at, addr(first[205])) // an empty array, then one that is not
	put(at+16, addr(first[205]))
	put(at+24, map[bool]uint64{true: 3, false: 3 << 32}[plain])
	at += 64
	put(at, addr(first[oddballType]))
	put(at+oddballText, addr(at+64))
	put(at+64, addr(first[8]))
	binary.LittleEndian.PutUint32(b[at+64+stringLength:], uint32(len(name))) //nolint:gosec // small
	copy(b[at+64+stringData:], name)
	return b
}

func memoryAt(b []byte) process.Memory {
	return process.NewMemoryFunc(func(out []byte, addr uint64) error {
		if addr < pageAt || addr+uint64(len(out)) > pageAt+uint64(len(b)) {
			return errors.New("nothing there")
		}
		copy(out, b[addr-pageAt:])
		return nil
	})
}

func TestLearnTypes(t *testing.T) {
	t.Parallel()
	types := recordedTypes(t)["15.0"]
	compressed := make([]byte, 8192)
	binary.LittleEndian.PutUint32(compressed[0x100:], 0x101)
	for _, c := range []struct {
		name string
		page []byte
		want error
	}{
		{"whole", readOnlyHeap(types, true, "undefined"), nil},
		{"small integers", readOnlyHeap(types, false, "undefined"), nil},
		{"other strings", readOnlyHeap(types, true, "undefimed"), errLayout},
		{"fewer types", readOnlyHeap(types[:60], true, "undefined"), errLayout},
		{"empty", make([]byte, 8192), interpreter.ErrNotReady},
		{"compressed", compressed, errCompressed},
		{"nothing", nil, interpreter.ErrNotReady},
	} {
		l := embeddedLayout(t, "15.0")
		got, err := l.learnTypes(&heap{layout: l, mem: memoryAt(c.page)}, []uint64{4096, pageAt})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && got.plainLengths != (c.name == "whole") {
			t.Errorf("%s: plain lengths: %v", c.name, got.plainLengths)
		}
	}
}

func TestReadOnlyMappings(t *testing.T) {
	t.Parallel()
	const text = `28cdc8f40000-28cdc8f50000 r--p 00000000 00:00 0
28cdc8f50000-28cdc8f80000 ---p 00000000 00:00 0
55c644340000-55c645f04000 r--p 00000000 fe:00 123                        /usr/bin/deno
55c644380000-55c645f04000 r--p 00000000 00:00 0                          [vvar]
28cdc8f51000-28cdc8f52000 r--p 00000000 00:00 0
x r--p 0 0 0
3f0000040000-3f0000050000 r--p 00000000 00:00 0
`
	if diff := cmp.Diff([]uint64{0x28cdc8f40000, pageAt}, parseReadOnly(strings.NewReader(text))); diff != "" {
		t.Error(diff)
	}
}

func TestFindVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]version{
		"\x00xx15.0.245.2-rusty\x00": {15, 0, 245}, "12.9.202.13-rusty": {12, 9, 202}, "rustyline-17.0.0": {}, "15.0.245.2": {},
	} {
		if got := findVersion([]byte(text)); got != want {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// sizesTable makes a table of n bytecodes.
func sizesTable(n int) []byte {
	var out []byte
	for _, first := range firstSizes {
		out = append(out, first...)
		out = append(out, bytes.Repeat([]byte{7}, n-len(first))...)
	}
	return out
}

func TestFindBytecodeSizes(t *testing.T) {
	t.Parallel()
	b := append([]byte("\x01\x01\x01\x01\x01\x02\x03\x04\x05 not it "), sizesTable(214)...)
	got, ok := findBytecodeSizes(b)
	if !ok || len(got[0]) != 214 || len(got[2]) != 214 || got.at([]byte{0, 6}) != 6 {
		t.Errorf("%v %v", ok, got)
	}
	if _, ok := findBytecodeSizes(b[:len(b)-1]); ok {
		t.Error("found in a table that is cut")
	}
}

// lookupTable makes a table of n builtins and what is around it.
func lookupTable(n int) (b []byte, ends []uint32) {
	b = []byte{1, 0, 0, 0, 0x99, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}
	for i := range n {
		end := uint32(i+1) * 64 //nolint:gosec // small
		ends = append(ends, end)
		b = binary.LittleEndian.AppendUint32(b, end)
		b = binary.LittleEndian.AppendUint32(b, uint32(n-i)) //nolint:gosec // small
	}
	return append(b, "something else after it"...), ends
}

func TestLookupFinder(t *testing.T) {
	t.Parallel()
	b, ends := lookupTable(2000)
	for _, size := range []int{len(b), 4, 1028} {
		var l lookupFinder
		for rest := b; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			l.add(rest[:min(size, len(rest))])
		}
		l.end()
		if diff := cmp.Diff([][]uint32{ends}, l.found); diff != "" {
			t.Errorf("in pieces of %d: %s", size, diff)
		}
	}
	short, _ := lookupTable(minBuiltins - 1)
	var l lookupFinder
	l.add(short)
	l.end()
	if l.found != nil {
		t.Error("found a table of few")
	}
}

// holes is a file of one executable segment, most of which is holes. It counts what
// is read after its header.
type holes struct {
	head  []byte
	reads int
}

const holesSize = 1 << 40

func newHoles() *holes {
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 64+56-7)...)
	le.PutUint16(b[16:], uint16(elf.ET_DYN))
	le.PutUint16(b[18:], uint16(elf.EM_X86_64))
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], 64) // program headers: where, how large, how many
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	le.PutUint32(b[64:], uint32(elf.PT_LOAD))
	le.PutUint32(b[68:], uint32(elf.PF_R|elf.PF_X))
	le.PutUint64(b[64+32:], holesSize)
	le.PutUint64(b[64+40:], holesSize)
	return &holes{head: b}
}

func (h *holes) ReadAt(b []byte, off int64) (int, error) {
	h.reads++
	clear(b)
	if off < int64(len(h.head)) {
		copy(b, h.head[off:])
	}
	return len(b), nil
}

// TestFindBuiltinsCodeBounded: a file with holes is as large as it likes.
func TestFindBuiltinsCodeBounded(t *testing.T) {
	t.Parallel()
	h := newHoles()
	f, err := pfelf.NewFile(h, holesSize)
	if err != nil || len(f.ExecSegments()) != 1 {
		t.Fatalf("%v, %v", f, err)
	}
	_, ends := lookupTable(2000)
	h.reads = 0
	if r, ok := findBuiltinsCode(f, [][]uint32{ends, ends}); ok {
		t.Errorf("found %+v", r)
	}
	if h.reads < maxBuiltinsReads || h.reads > maxBuiltinsReads+2*builtinsSample {
		t.Errorf("%d reads", h.reads)
	}
}

func TestNearestConstants(t *testing.T) {
	t.Parallel()
	for v, want := range map[version]bool{{12, 8, 0}: false, {12, 9, 1}: true, {15, 9, 0}: true, {16, 0, 0}: false} {
		if _, ok := nearestConstants(v); ok != want {
			t.Errorf("%v: %v", v, ok)
		}
	}
}

func FuzzReadOnly(f *testing.F) {
	types := recordedTypes(f)
	f.Add(readOnlyHeap(types["15.0"], true, "undefined"))
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 20 {
		b := readOnlyHeap(types["14.0"], false, "undefined")
		for range 40 {
			b[r.IntN(16<<10)] = byte(r.Uint32()) //nolint:gosec // any
		}
		f.Add(b[:r.IntN(len(b))])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := embeddedLayout(t, "15.0")
		got, err := l.learnTypes(&heap{layout: l, mem: memoryAt(b)}, []uint64{pageAt})
		if (got == nil) == (err == nil) {
			t.Errorf("%v and %v", got, err)
		}
	})
}

func FuzzEmbedded(f *testing.F) {
	b, _ := lookupTable(2000)
	f.Add(append(b, "15.0.245.2-rusty"...))
	f.Add(sizesTable(214))
	f.Fuzz(func(_ *testing.T, b []byte) {
		findVersion(b)
		findBytecodeSizes(b)
		var l lookupFinder
		l.add(b)
		l.end()
	})
}
