// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pack writes a number as HotSpot does.
func pack(b []byte, v uint32, skip byte) []byte {
	low := uint32(192) - uint32(skip)
	for range 4 {
		if v < low {
			break
		}
		v -= low
		b = append(b, byte(192+v%64))
		v /= 64
	}
	return append(b, byte(v)+skip)
}

func zigzag(v int32) uint32 { return uint32(v<<1) ^ uint32(v>>31) } //nolint:gosec // the encoding

func TestCompressedNumbers(t *testing.T) {
	t.Parallel()
	for _, skip := range []byte{0, 1} {
		for _, v := range []uint32{0, 1, 63, 190, 191, 192, 193, 255, 256, 12415, 12416, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			c := compressed{b: pack(nil, v, skip), skip: skip}
			if got := c.uint(); got != v || c.failed || len(c.b) != 0 {
				t.Errorf("%d with %d skipped is read as %d, failed %v, %d left", v, skip, got, c.failed, len(c.b))
			}
		}
		for _, v := range []int32{0, 1, -1, 1000, -1000, 1<<31 - 1, -1 << 31} {
			c := compressed{b: pack(nil, zigzag(v), skip), skip: skip}
			if got := c.int(); got != v {
				t.Errorf("%d is read as %d", v, got)
			}
		}
	}
	c := compressed{b: []byte{255, 255}}
	if c.uint(); !c.failed {
		t.Error("a number that is cut is accepted")
	}
	c = compressed{b: []byte{0, 1}, skip: 1}
	if c.uint(); !c.failed {
		t.Error("a byte that cannot be is accepted")
	}
}

// packLines writes a table of lines.
func packLines(lines []line, skip byte) []byte {
	var out []byte
	var last line
	for _, l := range lines {
		db, dn := l.bytecode-last.bytecode, l.number-last.number
		if b := db<<3 | dn; db >= 0 && db < 31 && dn >= 0 && dn < 8 && b != 0 {
			out = append(out, byte(b))
		} else {
			out = pack(pack(append(out, 255), zigzag(db), skip), zigzag(dn), skip)
		}
		last = l
	}
	return append(out, 0)
}

func TestLines(t *testing.T) {
	t.Parallel()
	want := []line{{0, 10}, {3, 11}, {9, 15}, {10, 3}, {400, 900}, {402, 900}}
	for _, skip := range []byte{0, 1} {
		got := readLines(packLines(want, skip), skip)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
			t.Errorf("lines: (-want +got)\n%s", diff)
		}
	}
	for bytecode, line := range map[int]uint64{0: 10, 2: 10, 3: 11, 8: 11, 9: 15, 10: 3, 399: 3, 400: 900, 60000: 900, -1: 0} {
		if got := lineAt(want, bytecode); got != line {
			t.Errorf("bytecode %d is in line %d, want %d", bytecode, got, line)
		}
	}
	if got := lineAt(nil, 5); got != 0 {
		t.Errorf("without a table there is a line %d", got)
	}
}

func FuzzLines(f *testing.F) {
	f.Add(packLines([]line{{0, 10}, {400, 900}}, 1), true)
	f.Add([]byte{255, 255, 255}, false)
	f.Fuzz(func(t *testing.T, b []byte, skips bool) {
		var skip byte
		if skips {
			skip = 1
		}
		if got := readLines(b, skip); len(got) > len(b) {
			t.Errorf("%d entries of %d bytes", len(got), len(b))
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add([]byte{3, 1, 5, 6, 13, 1, 1, 7, 8, 17, 9, 1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		eachField(b, 1, func(_, _, offset uint32) {
			if n++; offset > maxOffset {
				t.Errorf("offset %d", offset)
			}
		})
		if n > maxFields {
			t.Errorf("%d fields", n)
		}
	})
}
