// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Tables of the same function, compiled by two versions of V8.
const (
	tableSigned = "115001000100010001002b001d5839071900273815001500" // 13.6
	tableFlags  = "2e50020002000200020056003a587607320036382a002a00" // 14.6
	tableLong   = "1f881d0100010001002b0009482b0047208301001f5811101b183b000900093c11634b005f840121001f1015001500"
)

func TestFindPosition(t *testing.T) {
	t.Parallel()
	type want struct {
		place int
		found bool
	}
	for name, c := range map[string]struct {
		table    string
		encoding encoding
		offset   int64
		want     want
	}{
		"before the first":   {tableSigned, encodingSigned, 3, want{-1, false}},
		"the first":          {tableSigned, encodingSigned, 7, want{19, true}},
		"a call":             {tableSigned, encodingSigned, 50, want{41, true}},
		"the last":           {tableSigned, encodingSigned, 1 << 40, want{53, true}},
		"before, with flags": {tableFlags, encodingFlags, 9, want{-1, false}},
		"first, with flags":  {tableFlags, encodingFlags, 10, want{19, true}},
		"call, with flags":   {tableFlags, encodingFlags, 69, want{41, true}},
		"last, with flags":   {tableFlags, encodingFlags, 1 << 40, want{53, true}},
		"no table":           {"", encodingSigned, 5, want{-1, false}},
		"cut":                {"2e508080", encodingFlags, 50, want{19, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, found := findPosition(unhex(t, c.table), c.encoding, c.offset)
			place, _ := p.script()
			if got := (want{place, found}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestFindPositionAbsolute(t *testing.T) {
	t.Parallel()
	// Three entries: at 3 position 10, at 5 position 10-4, at 9 position 2.
	table := []byte{4 << 3, 20, 2<<3 | 1, 7, 4<<3 | 4, 4}
	var got [][2]int64
	for r := newTableReader(table, encodingAbsolute); r.next(); {
		got = append(got, [2]int64{r.at, r.position})
	}
	if diff := cmp.Diff([][2]int64{{3, 10}, {5, 6}, {9, 2}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEncodingFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		table    string
		size     int64
		encoding encoding
		want     bool
	}{
		{tableSigned, 280, encodingSigned, true},
		{tableFlags, 288, encodingFlags, true},
		{tableFlags, 200, encodingSigned, false}, // ends behind the code
		{tableLong, 700, encodingSigned, true},
		{tableLong[:len(tableLong)-2], 700, encodingSigned, false}, // cut
	} {
		if got := c.encoding.fits(unhex(t, c.table), c.size); got != c.want {
			t.Errorf("%s of %d bytes in encoding %d: %v, want %v", c.table, c.size, c.encoding, got, c.want)
		}
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	p := position(42<<1 | 3<<31)
	if place, ok := p.script(); place != 41 || !ok {
		t.Errorf("place %d, %v", place, ok)
	}
	if i, ok := p.inlined(); i != 2 || !ok {
		t.Errorf("inlined %d, %v", i, ok)
	}
	if _, ok := position(0).script(); ok {
		t.Error("0 is a place")
	}
	if _, ok := position(42<<1 | 1).script(); ok {
		t.Error("a place outside of scripts is one in a script")
	}
}

func TestFindBytecode(t *testing.T) {
	t.Parallel()
	sizes := bytecodeSizes{make([]byte, 8), make([]byte, 8), make([]byte, 8)}
	sizes[0][5], sizes[0][6], sizes[1][6], sizes[2][5] = 1, 3, 5, 9
	code := []byte{5, 6, 0, 0, 0, 6, 1, 1, 1, 1, 5}
	table := []byte{20, 4, 0x80 | 10, 1, 7, 3} // 20 before; 4; 138; 7; 3
	for _, c := range []struct {
		pc   uint64
		want int64
		ok   bool
	}{
		{1, -1, true}, {20, -1, true}, {21, 0, true}, {24, 0, true}, {25, 1, true}, {162, 1, true}, {163, 4, true},
		{170, 10, true}, {173, 0, false},
	} {
		got, ok := findBytecode(table, code, &sizes, c.pc)
		if got != c.want && c.ok || ok != c.ok {
			t.Errorf("at %d: %d, %v, want %d, %v", c.pc, got, ok, c.want, c.ok)
		}
	}
	if _, ok := findBytecode(nil, code, &sizes, 5); ok {
		t.Error("an empty table has a bytecode")
	}
	if _, ok := findBytecode(table, []byte{200}, &sizes, 60); ok {
		t.Error("an unknown bytecode has a length")
	}
}

func TestLineOf(t *testing.T) {
	t.Parallel()
	ends := []uint32{4, 9, 9, 20}
	for place, want := range map[int]int{-1: 0, 0: 1, 4: 1, 5: 2, 9: 2, 10: 4, 20: 4, 21: 5} {
		if got := lineOf(ends, place); got != want {
			t.Errorf("place %d is in line %d, want %d", place, got, want)
		}
	}
	if got := lineOf(nil, 3); got != 0 {
		t.Errorf("line %d of no lines", got)
	}
}

func TestLineFinder(t *testing.T) {
	t.Parallel()
	var f lineFinder
	for _, c := range "ab\ncd\r\nef\r\rg\u2028h" {
		f.add(uint16(c)) //nolint:gosec // of the basic plane
	}
	if diff := cmp.Diff([]uint32{2, 6, 9, 10, 12}, f.ends); diff != "" {
		t.Error(diff)
	}
}

func FuzzFindPosition(f *testing.F) {
	for _, s := range []string{tableSigned, tableFlags, tableLong, "ffffffffffffffffffff01"} {
		f.Add(unhex(f, s), int64(50))
	}
	f.Fuzz(func(t *testing.T, table []byte, offset int64) {
		for e := range encodings {
			if p, found := findPosition(table, e, offset); !found && p != 0 {
				t.Errorf("position %d that was not found", p)
			}
			e.fits(table, offset)
		}
	})
}

func FuzzFindBytecode(f *testing.F) {
	f.Add([]byte{20, 4, 0x80 | 10, 1, 7}, []byte{5, 6, 0, 0, 0, 6, 1}, uint64(30))
	sizes := bytecodeSizes{make([]byte, 200), make([]byte, 200), make([]byte, 200)}
	for i := range sizes {
		for j := range sizes[i] {
			sizes[i][j] = byte(j%5 + 1)
		}
	}
	f.Fuzz(func(t *testing.T, table, code []byte, pc uint64) {
		if at, ok := findBytecode(table, code, &sizes, pc); ok && at >= int64(len(code)) {
			t.Errorf("bytecode at %d of %d", at, len(code))
		}
	})
}
