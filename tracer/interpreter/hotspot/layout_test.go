// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// bias of the libraries in these tests.
const testBias = 0x7f0000000000

// recordedTables reads what a virtual machine said of itself: a line for each field,
// its type, whether it is static, and its offset or its address in the file; and one
// for each type with its size. Those of 17 and 25 are as recorded. That of 8 was
// made from its sources, and that of 23 from them and that of 25.
func recordedTables(t *testing.T, version string) *vmTables {
	t.Helper()
	f, err := os.Open("testdata/tables-" + version + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	out := &vmTables{fields: map[string]vmField{}, sizes: map[string]uint64{}, consts: map[string]int64{}}
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Split(s.Text(), "\t")
		n, err := strconv.ParseUint(w[len(w)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case w[0] == "S":
			out.sizes[w[1]] = n
		case w[3] == "true":
			out.fields[w[1]] = vmField{static: true, typ: w[2], address: n + testBias}
		default:
			out.fields[w[1]] = vmField{typ: w[2], offset: n}
		}
	}
	return out
}

// image is memory made of words.
type image map[uint64][]byte

func (m image) put(addr uint64, b []byte) { m[addr] = b }

func (m image) word(addr, v uint64) { m.put(addr, binary.LittleEndian.AppendUint64(nil, v)) }

func (m image) half(addr uint64, v uint32) { m.put(addr, binary.LittleEndian.AppendUint32(nil, v)) }

// memory reads bytes that were put, and zeros within a page of any.
func (m image) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		near := false
		clear(b)
		for at, piece := range m {
			if at < addr+uint64(len(b))+4096 && addr < at+uint64(len(piece))+4096 {
				near = true
			}
			for i, c := range piece {
				if off := at + uint64(i) - addr; off < uint64(len(b)) {
					b[off] = c
				}
			}
		}
		if !near {
			return process.ErrMemory
		}
		return nil
	})
}

// layoutOf returns the layout of a recorded version.
func layoutOf(t *testing.T, version string) *layout {
	t.Helper()
	tables := recordedTables(t, version)
	n, err := strconv.Atoi(version)
	if err != nil {
		t.Fatal(err)
	}
	m := image{}
	if f, ok := tables.fields["JDK_Version::_current"]; ok {
		m.put(f.address, []byte{byte(n)})
	} else {
		m.half(tables.fields["Abstract_VM_Version::_vm_major_version"].address, uint32(n)) //nolint:gosec // small
	}
	l, err := newLayout(tables, testBias, m.memory())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	type facts struct {
		Release      int
		Skip         byte
		Method, Bcp  uint8
		Heaps        bool
		CodeAddress  bool
		Immutable    bool
		Mutable      bool
		SourceInPool bool
		ShortFrame   bool
		Frozen       bool
		Deopt        bool
	}
	for version, want := range map[string]facts{
		"8":  {Release: 8, Method: 3, Bcp: 7, Deopt: true},
		"17": {Release: 17, Method: 3, Bcp: 8, Heaps: true, CodeAddress: true, SourceInPool: true, Deopt: true},
		"23": {
			Release: 23, Skip: 1, Method: 3, Bcp: 8, Heaps: true, Immutable: true, SourceInPool: true, ShortFrame: true, Frozen: true, Deopt: true,
		},
		"25": {
			Release: 25, Skip: 1, Method: 3, Bcp: 8, Heaps: true, Immutable: true, Mutable: true, SourceInPool: true, ShortFrame: true,
			Frozen: true, Deopt: true,
		},
	} {
		l := layoutOf(t, version)
		if l.slotMethod, l.slotBcp = slots(l.release, "amd64"); l.slotMethod == 0 {
			t.Error("no slot")
		}
		got := facts{
			Release: l.release, Skip: l.unsigned5Skip, Method: l.slotMethod, Bcp: l.slotBcp,
			Heaps: l.codeCache.heaps != 0, CodeAddress: l.codeBlob.codeBegin.there(), Immutable: l.nmethod.base == partsInImmutable,
			Mutable: l.codeBlob.mutableData.there(), SourceInPool: l.constantPool.sourceFile.there(),
			ShortFrame: l.codeBlob.frameComplete.size == 2, Frozen: l.frozenKnown() && l.continuationPC != 0, Deopt: l.nmethod.deopt.there(),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %s: (-want +got)\n%s", version, diff)
		}
	}
}

// Each field that is missing makes the version one that is not supported, or is one
// that can be done without; it never is a panic.
func TestLayoutWithoutAField(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8", "17", "25"} {
		for field := range recordedTables(t, version).fields {
			tables := recordedTables(t, version)
			delete(tables.fields, field)
			_, err := newLayout(tables, testBias, process.NewMemoryFunc(func(b []byte, _ uint64) error {
				clear(b)
				b[0] = 17
				return nil
			}))
			var u *interpreter.UnsupportedError
			if err != nil && !errors.As(err, &u) {
				t.Errorf("version %s without %s: %v", version, field, err)
			}
		}
	}
}

func TestReleaseThatIsNotKnown(t *testing.T) {
	t.Parallel()
	tables := recordedTables(t, "17")
	for first, want := range map[byte]bool{0: false, 7: true, 201: true} {
		_, err := release(tables, process.NewMemoryFunc(func(b []byte, _ uint64) error { b[0] = first; return nil }))
		var u *interpreter.UnsupportedError
		if errors.As(err, &u) != want || (!want && !errors.Is(err, interpreter.ErrNotReady)) {
			t.Errorf("release %d: %v", first, err)
		}
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	if m, b := slots(17, "arm64"); m != 3 || b != 9 {
		t.Errorf("slots on arm64: %d and %d", m, b)
	}
}

func TestWidths(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]uint8{
		"int": 4, "volatile int": 4, "const char*": 8, "Method*": 8, "volatile unsigned char": 1, "u2": 2, "void": 0, "": 0,
		"nmethod* volatile": 8,
	} {
		if got := width(typ); got != want {
			t.Errorf("width of %q is %d, want %d", typ, got, want)
		}
	}
}
