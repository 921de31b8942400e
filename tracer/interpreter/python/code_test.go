// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

const (
	codeAt = 0x10000
	nameAt = 0x20000
	fileAt = 0x30000
	tabAt  = 0x40000
	typeAt = 0x50000
)

// text encodes a string object as the layout has it: kind 1, 2 or 4.
func text(l *layout, s string, kind int) []byte {
	runes := []rune(s)
	data, state := l.TextData, uint32(0)
	if l.AsciiData != 0 {
		data = l.WideData
		ascii := true
		for _, r := range runes {
			ascii = ascii && r < 0x80
		}
		state = uint32(kind)<<2 | 1<<5 //nolint:gosec // small
		if ascii && kind == 1 {
			state |= 1 << 6
			data = l.AsciiData
		}
	}
	b := make([]byte, int(data)+len(runes)*kind+64)
	binary.LittleEndian.PutUint64(b[l.TextLength:], uint64(len(runes)))
	for i, c := range s {
		binary.LittleEndian.PutUint64(b[l.TextLength+8:], binary.LittleEndian.Uint64(b[l.TextLength+8:])*31+uint64(c)+uint64(i)) //nolint:gosec // a hash
	}
	if l.AsciiData != 0 {
		binary.LittleEndian.PutUint32(b[l.TextLength+16:], state)
	}
	for i, r := range runes {
		at := int(data) + i*kind
		switch kind {
		case 1:
			b[at] = byte(r)
		case 2:
			binary.LittleEndian.PutUint16(b[at:], uint16(r)) //nolint:gosec // a test's
		default:
			binary.LittleEndian.PutUint32(b[at:], uint32(r)) //nolint:gosec // a test's
		}
	}
	return b
}

func tableObject(l *layout, data []byte) []byte {
	b := make([]byte, int(l.TextData)+len(data)+64)
	binary.LittleEndian.PutUint64(b[l.TextLength:], uint64(len(data)))
	copy(b[l.TextData:], data)
	return b
}

func codeObject(l *layout, line uint32) []byte {
	b := make([]byte, 256)
	put := func(off uint16, v uint64) { binary.LittleEndian.PutUint64(b[off:], v) }
	put(l.Type, typeAt)
	put(l.CodeFile, fileAt)
	put(l.CodeName, nameAt)
	if l.CodeQualname != 0 {
		put(l.CodeName, 1) // not to be read
		put(l.CodeQualname, nameAt)
	}
	put(l.CodeLines, tabAt)
	binary.LittleEndian.PutUint32(b[l.CodeLine:], line)
	if l.CodeVersion != 0 {
		binary.LittleEndian.PutUint32(b[l.CodeVersion:], 0)
	}
	return b
}

func newInstance(t testing.TB, v version, m process.Memory) *instance {
	t.Helper()
	var l layout
	var err error
	if v.atLeast(3, 13) {
		l, _, err = parseDebugOffsets(encodeTable(table313))
	} else {
		l, _, err = constants(v)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.CodeType = typeAt
	return &instance{record: l, version: v, memory: m, codes: map[codeKey]*code{}}
}

// cookieNow is what the eBPF program would find at codeAt.
func cookieNow(t testing.TB, i *instance) uint64 {
	t.Helper()
	o, err := readObject(i.memory, &i.record, codeAt)
	if err != nil {
		t.Fatal(err)
	}
	return o.cookie(i.memory)
}

func TestSymbolize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		v      version
		name   string
		kind   int
		table  []byte
		at     uint64
		line   int
		wanted string
	}{
		"2.7":                   {v27, "leaf", 1, []byte{0, 1, 6, 200}, 7, 241, "leaf"},
		"3.6":                   {version{3, 6, 15}, "leaf", 1, []byte{0, 1, 6, 0xff}, 7, 40, "leaf"},
		"3.9, Latin":            {version{3, 9, 1}, "blatt_ä", 1, []byte{0, 1}, 0, 41, "blatt_ä"},
		"3.10, Cyrillic":        {version{3, 10, 1}, "лист", 2, []byte{4, 1, 4, 2}, 3, 43, "лист"},
		"3.11":                  {v311, "Tree.leaf", 1, []byte{0x80 | 13<<3 | 1, 2, 0x80 | 10<<3 | 7, 0, 0, 0x80 | 12<<3, 0, 0}, 20, 43, "Tree.leaf"},
		"3.12, rare characters": {v312, "leaf_𝒳", 4, nil, 4, 40, "leaf_𝒳"},
		"3.13":                  {version{3, 13, 0}, "leaf", 1, nil, 4, 40, "leaf"},
		"control characters":    {v311, "le\naf\x1b[1m", 1, nil, 4, 40, "le?af?[1m"},
	} {
		i := newInstance(t, c.v, process.Memory{})
		m := image{
			codeAt: codeObject(&i.record, 40), nameAt: text(&i.record, c.name, c.kind),
			fileAt: text(&i.record, "/srv/a very long path/tree.py", 1), tabAt: tableObject(&i.record, c.table),
		}
		i.memory = m.memory()
		frame := interpreter.Frame{Addr: codeAt, W1: c.at, W2: cookieNow(t, i)}
		got, err := i.Symbolize(frame, nil)
		want := []libpf.Frame{{
			Type: libpf.PythonFrame, AddressOrLineno: libpf.AddressOrLineno(c.line), FunctionName: c.wanted,
			SourceFile: "/srv/a very long path/tree.py", SourceLine: libpf.SourceLineno(c.line),
		}}
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(libpf.FileID{})); err != nil || d != "" {
			t.Errorf("%s: error %v, %s", name, err, d)
		}
		i.codes = nil // closed: nothing is remembered
		for change, to := range map[string]func(m image){
			"name":  func(m image) { m[nameAt] = text(&i.record, "other", 1) },
			"file":  func(m image) { m[fileAt] = text(&i.record, "/srv/a very long path/free.py", 1) },
			"line":  func(m image) { m[codeAt] = codeObject(&i.record, 41) },
			"table": func(m image) { m[tabAt] = tableObject(&i.record, append([]byte{0x88, 9}, c.table...)) },
			"type":  func(m image) { m[codeAt][i.record.Type]++ },
		} {
			changed := image{}
			for at, b := range m {
				changed[at] = append([]byte(nil), b...)
			}
			to(changed)
			i.memory = changed.memory()
			if _, err := i.Symbolize(frame, nil); !errors.Is(err, interpreter.ErrStale) {
				t.Errorf("%s: another %s gives error %v, want %v", name, change, err, interpreter.ErrStale)
			}
		}
	}
}

// TestVersionOfCode tells code objects apart by their number alone.
func TestVersionOfCode(t *testing.T) {
	t.Parallel()
	i := newInstance(t, v312, process.Memory{})
	object := codeObject(&i.record, 40)
	m := image{
		codeAt: object, nameAt: text(&i.record, "leaf", 1), fileAt: text(&i.record, "tree.py", 1), tabAt: tableObject(&i.record, nil),
	}
	i.memory = m.memory()
	seen := map[uint64]bool{}
	for n := range uint32(100) {
		binary.LittleEndian.PutUint32(object[i.record.CodeVersion:], n)
		seen[cookieNow(t, i)] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d different words of 100", len(seen))
	}
}

// TestBrokenMemory reads code objects of which a part is missing, or random.
func TestBrokenMemory(t *testing.T) {
	t.Parallel()
	for _, v := range []version{v27, {3, 6, 1}, {3, 10, 1}, v311, v312, {3, 13, 0}} {
		i := newInstance(t, v, process.Memory{})
		whole := image{
			codeAt: codeObject(&i.record, 40), nameAt: text(&i.record, "leaf", 1),
			fileAt: text(&i.record, "tree.py", 1), tabAt: tableObject(&i.record, []byte{1, 2, 3}),
		}
		for at, b := range whole {
			for _, n := range []int{0, 8, 17, 33} {
				cut := image{}
				maps.Copy(cut, whole)
				cut[at] = b[:n]
				i.memory = cut.memory()
				var cookie uint64
				if o, err := readObject(i.memory, &i.record, codeAt); err == nil {
					cookie = o.cookie(i.memory)
				}
				if _, err := i.Symbolize(interpreter.Frame{Addr: codeAt, W2: cookie}, nil); err == nil && n < 33 {
					t.Errorf("%s: %d bytes at %#x give no error", v, n, at)
				}
			}
		}
		// A huge length.
		huge := image{codeAt: whole[codeAt], nameAt: whole[nameAt], fileAt: whole[fileAt], tabAt: append([]byte(nil), whole[tabAt]...)}
		binary.LittleEndian.PutUint64(huge[tabAt][i.record.TextLength:], 1<<62)
		i.memory = huge.memory()
		if got, err := i.Symbolize(interpreter.Frame{Addr: codeAt, W1: 4, W2: cookieNow(t, i)}, nil); err != nil || got[0].SourceLine != 40 {
			t.Errorf("%s: huge table: %v, %v", v, got, err)
		}
		for seed := range uint64(50) {
			i.memory = randomMemory(seed)
			_, _ = i.Symbolize(interpreter.Frame{Addr: codeAt, W1: seed, W2: seed}, nil)
			_, _ = readText(i.memory, &i.record, seed*8+4096)
			_, _ = readBytes(i.memory, &i.record, seed*8+4096)
		}
	}
}

func FuzzSymbolize(f *testing.F) {
	i := newInstance(f, v311, process.Memory{})
	f.Add(codeObject(&i.record, 40), text(&i.record, "leaf", 1), text(&i.record, "tree.py", 1), tableObject(&i.record, []byte{0x88, 1}), uint64(4), uint8(0))
	versions := []version{v311, v27, {3, 8, 1}, {3, 10, 1}, v312, {3, 13, 0}}
	f.Fuzz(func(t *testing.T, object, name, file, table []byte, at uint64, which uint8) {
		i := newInstance(t, versions[int(which)%len(versions)], image{codeAt: object, nameAt: name, fileAt: file, tabAt: table}.memory())
		o, err := readObject(i.memory, &i.record, codeAt)
		if err != nil {
			return
		}
		got, err := i.Symbolize(interpreter.Frame{Addr: codeAt, W1: at, W2: o.cookie(i.memory)}, nil)
		if err == nil && (len(got) != 1 || len(got[0].FunctionName) > 2*process.MaxString) {
			t.Errorf("%d frames", len(got))
		}
		if err == nil && got[0].SourceLine > math.MaxInt64 {
			t.Errorf("line %d", int64(got[0].SourceLine))
		}
	})
}
