// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"cmp"
	"debug/elf"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

func TestFlatten(t *testing.T) {
	t.Parallel()
	type boundary struct {
		Start uint64
		ID    uint32
	}
	tests := map[string]struct {
		spans []span
		want  []boundary
	}{
		"none": {},
		"apart": {
			spans: []span{{start: 1, end: 3, id: 0}, {start: 5, end: 6, id: 1}},
			want:  []boundary{{1, 0}, {3, noID}, {5, 1}, {6, noID}},
		},
		"adjacent": {
			spans: []span{{start: 0, end: 3, id: 0}, {start: 3, end: 6, id: 1}},
			want:  []boundary{{0, 0}, {3, 1}, {6, noID}},
		},
		"inside": {
			spans: []span{{start: 0, end: 9, id: 0}, {start: 3, end: 6, prio: 1, id: 1}},
			want:  []boundary{{0, 0}, {3, 1}, {6, 0}, {9, noID}},
		},
		"hidden": {
			spans: []span{{start: 0, end: 9, prio: 1, id: 0}, {start: 3, end: 6, id: 1}},
			want:  []boundary{{0, 0}, {9, noID}},
		},
		"crossing": {
			spans: []span{{start: 0, end: 5, prio: 1, id: 0}, {start: 3, end: 9, id: 1}},
			want:  []boundary{{0, 0}, {5, 1}, {9, noID}},
		},
		"empty": {
			spans: []span{{start: 4, end: 4, id: 0}, {start: 4, end: 5, id: 1}},
			want:  []boundary{{4, 1}, {5, noID}},
		},
		"end of the address space": {
			spans: []span{{start: ^uint64(0) - 1, end: ^uint64(0), id: 0}},
			want:  []boundary{{^uint64(0) - 1, 0}, {^uint64(0), noID}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []boundary
			flatten(test.spans, func(start uint64, id uint32) { got = append(got, boundary{start, id}) })
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTableAgainstModel compares look-ups with what looking at all spans finds.
func TestTableAgainstModel(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		spread := uint64(1) << (4 + rng.UintN(36)) // some tables need parts
		spans := make([]span, rng.IntN(30))
		for i := range spans {
			start := 100 + rng.Uint64N(spread)
			spans[i] = span{start: start, end: start + rng.Uint64N(spread/4), prio: uint32(i), id: uint32(i)}
		}
		slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
		table, err := newTable(spans, 1<<20, func(id uint32) []byte { return []byte(strconv.Itoa(int(id))) })
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			addr := rng.Uint64N(spread + spread/2 + 200)
			want := ""
			best := -1
			for _, s := range spans {
				if addr >= s.start && addr < s.end && int(s.prio) > best {
					best, want = int(s.prio), strconv.Itoa(int(s.id))
				}
			}
			got, _, ok := table.lookup(addr)
			if string(got) != want || ok != (want != "") {
				t.Fatalf("lookup(%d) = %q, %v; want %q of %+v", addr, got, ok, want, spans)
			}
		}
	}
}

func TestTableLimit(t *testing.T) {
	t.Parallel()
	spans := []span{{start: 1, end: 2, id: 0}, {start: 2, end: 3, id: 1}}
	_, err := newTable(spans, 20, func(uint32) []byte { return make([]byte, 10) })
	if !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestELFSymbols(t *testing.T) {
	t.Parallel()
	local := func(s madeSymbol) madeSymbol { s.bind = elf.STB_LOCAL; return s }
	weak := func(s madeSymbol) madeSymbol { s.bind = elf.STB_WEAK; return s }
	label := func(name string, value uint64) madeSymbol {
		return madeSymbol{name: name, value: value, bind: elf.STB_GLOBAL, kind: elf.STT_NOTYPE}
	}
	object := func(name string, value, size uint64) madeSymbol {
		return madeSymbol{name: name, value: value, size: size, bind: elf.STB_GLOBAL, kind: elf.STT_OBJECT}
	}
	tests := map[string]struct {
		kind    elf.SectionType
		symbols []madeSymbol
		want    map[uint64]string
	}{
		"sizes": {
			symbols: []madeSymbol{function("f", 0x1000, 0x10), function("g", 0x1020, 0x10)},
			want:    map[uint64]string{0xfff: "", 0x1000: "f", 0x100f: "f", 0x1010: "", 0x101f: "", 0x1020: "g", 0x1030: ""},
		},
		"labels reach to the next symbol": {
			symbols: []madeSymbol{label("a", 0x1000), function("f", 0x1008, 8), label("b", 0x1010)},
			want:    map[uint64]string{0x1007: "a", 0x1008: "f", 0x1010: "b", 0x1fff: "b", 0x2000: ""},
		},
		"exported labels do not reach far": {
			kind:    elf.SHT_DYNSYM,
			symbols: []madeSymbol{label("a", 0x1000)},
			want:    map[uint64]string{0x1000: "a", 0x1fff: "a", 0x2000: ""},
		},
		"labels in functions": {
			symbols: []madeSymbol{function("f", 0x1000, 0x20), label("loop", 0x1010)},
			want:    map[uint64]string{0x1000: "f", 0x1010: "f", 0x1018: "f"},
		},
		"functions in functions": {
			symbols: []madeSymbol{function("f", 0x1000, 0x40), function("g", 0x1010, 0x10)},
			want:    map[uint64]string{0x1000: "f", 0x1010: "g", 0x101f: "g", 0x1020: "f"},
		},
		"aliases": {
			symbols: []madeSymbol{
				local(function("__GI___libc_read", 0x1000, 0x10)), function("__libc_read", 0x1000, 0x10),
				function("__read", 0x1000, 0x10), weak(function("read", 0x1000, 0x10)),
			},
			want: map[uint64]string{0x1004: "read"},
		},
		"local with fewer underscores": {
			symbols: []madeSymbol{local(function("impl", 0x1000, 0x10)), function("__start", 0x1000, 0x10)},
			want:    map[uint64]string{0x1000: "__start"},
		},
		"sized before label": {
			symbols: []madeSymbol{label("x", 0x1000), local(function("longer_name", 0x1000, 0x10))},
			want:    map[uint64]string{0x1000: "longer_name", 0x1010: ""},
		},
		"versions": {
			symbols: []madeSymbol{function("memcpy@@GLIBC_2.14", 0x1000, 0x10), function("memcpy@GLIBC_2.2.5", 0x1010, 0x10)},
			want:    map[uint64]string{0x1000: "memcpy", 0x1010: "memcpy"},
		},
		"not across sections": {
			symbols: []madeSymbol{label("last", 0x1ff0), function("huge", 0x1800, 0x7000)},
			want:    map[uint64]string{0x1fff: "huge", 0x2000: ""},
		},
		"no code": {
			symbols: []madeSymbol{
				object("data", 0x1000, 0x10), function("undefined", 0, 0), function("elsewhere", 0x9000, 0x10),
				{name: "absolute", value: 0x1020, section: uint16(elf.SHN_ABS)}, label(".Llocal", 0x1040), label("", 0x1050),
			},
			want: map[uint64]string{0x1000: "", 0x1020: "", 0x1040: "", 0x1050: "", 0x9000: ""},
		},
		"overflow": {
			symbols: []madeSymbol{function("f", 0x1ff0, ^uint64(0))},
			want:    map[uint64]string{0x1ff0: "f", 0x2000: ""},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.kind == 0 {
				test.kind = elf.SHT_SYMTAB
			}
			f := openBytes(t, makeELF(t, test.kind, test.symbols...))
			table := mustBuild(t, f, test.kind)
			for addr, want := range test.want {
				got, _, ok := table.lookup(addr)
				if string(got) != want || ok != (want != "") {
					t.Errorf("%#x: %q, %v; want %q", addr, got, ok, want)
				}
			}
		})
	}
}

func mustBuild(t *testing.T, f *pfelf.File, kind elf.SectionType) *table {
	t.Helper()
	syms := newELFSymbols(f, 1<<20)
	if _, err := syms.add(f, kind); err != nil {
		t.Fatal(err)
	}
	table, err := syms.build(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func FuzzELFSymbols(f *testing.F) {
	f.Add(makeELF(f, elf.SHT_SYMTAB, function("f", 0x1000, 0x10), function("_ZN1aE", 0x1008, 0)))
	f.Add(makeELF(f, elf.SHT_DYNSYM, function("g", 0x1000, ^uint64(0))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		file, err := pfelf.NewFile(&sliceReader{b}, int64(len(b)))
		if err != nil {
			return
		}
		s := New(Config{MaxBytes: 1 << 20, DebugDirs: []string{}})
		for _, r := range s.load(file, &Executable{Name: "fuzz"}) {
			for _, addr := range []uint64{0, madeText, madeText + 8, file.Entry, ^uint64(0)} {
				for _, l := range r.resolve(addr) {
					if l.Function == "" || len(l.Function) > maxName || len(l.SystemName) > maxName {
						t.Fatalf("%#x: %+v", addr, l)
					}
				}
			}
			r.close()
		}
	})
}
