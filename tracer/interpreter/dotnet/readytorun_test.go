// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNativeNumbers reads numbers of each length.
func TestNativeNumbers(t *testing.T) {
	t.Parallel()
	f := func(want uint32, signed int32, b ...byte) {
		t.Helper()
		r := nativeReader{b: b, start: 100}
		u, next := r.unsigned(100)
		s, _ := r.signed(100)
		if u != want || s != signed || int(next) != 100+len(b) || r.bad {
			t.Errorf("% x is %d and %d, of %d bytes", b, u, s, next-100)
		}
	}
	f(5, 5, 5<<1)
	f(0x7f, -1, 0xfe)
	f(0x155, 0x155, 0x55, 0x05)
	f(0x3fff, -1, 0xfd, 0xff)
	f(0x10000, 0x10000, 0x03, 0x00, 0x08)
	f(0x1000000, 0x1000000, 0x07, 0x00, 0x00, 0x10)
	f(0xdeadbeef, -559038737, 0x0f, 0xef, 0xbe, 0xad, 0xde)
	r := nativeReader{b: []byte{0x0f, 1}, start: 100}
	if _, _ = r.unsigned(100); !r.bad {
		t.Error("a number that is cut was accepted")
	}
	if _, _ = r.unsigned(5); !r.bad {
		t.Error("a number outside of the section was accepted")
	}
}

// TestNativeArray reads a sparse array of two blocks: elements 0, 1 and 3, and 20.
func TestNativeArray(t *testing.T) {
	t.Parallel()
	b := []byte{
		21 << 2 << 1 &^ 1, // 21 elements, offsets of one byte
		2, 10,             // where the blocks begin, from here
		// The tree of the first: what is to the left follows, if bit 0 is set;
		// what is to the right is as many bytes away, if bit 1 is set.
		1 << 1, 1 << 1, 3<<1 | 4<<2<<1, 3<<1 | 2<<2<<1, 40 << 1, 41 << 1, 3 << 2 << 1, 43 << 1,
		4 << 2 << 1, 60 << 1,
	}
	r := nativeReader{b: b, start: 0}
	got := map[uint32]uint32{}
	r.array(func(index, at uint32) {
		f, _ := r.entryPoint(at)
		got[index] = f
	})
	want := map[uint32]uint32{0: 20, 1: 41 >> 2, 3: 43 >> 2, 20: 30}
	if diff := cmp.Diff(want, got); diff != "" || r.bad {
		t.Error(diff, r.bad)
	}
}

func TestEntryTable(t *testing.T) {
	t.Parallel()
	table := entryTable{entries: []entry{{function: 3, rid: 1}, {function: 7, rid: 2}}}
	for function, want := range map[uint32]uint32{2: 0, 3: 1, 6: 1, 7: 2, 100: 2} {
		if e, _ := table.find(function); e.rid != want {
			t.Errorf("function %d is of method %d, want %d", function, e.rid, want)
		}
	}
}

func FuzzNative(f *testing.F) {
	f.Add([]byte{21 << 3, 2, 10, 2, 2, 38, 22, 80, 82, 24, 86, 32, 120})
	f.Fuzz(func(t *testing.T, b []byte) {
		table := &entryTable{}
		table.readMethods(&nativeReader{b: b, start: 64})
		table.readGenerics(&nativeReader{b: b, start: 64})
		if len(table.entries) > maxEntries {
			t.Errorf("%d entries", len(table.entries))
		}
	})
}
