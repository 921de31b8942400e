// SPDX-License-Identifier: Apache-2.0

package php

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// world is a synthetic memory: what is not in it cannot be read.
type world struct {
	next  uint64
	parts map[uint64][]byte
}

// newWorld has addresses of 48 bits, as on arm64.
func newWorld() *world { return &world{next: 0xffff_7f00_1000, parts: map[uint64][]byte{}} }

func (w *world) add(b []byte) uint64 {
	at := w.next
	w.next += uint64(len(b)+64) &^ 15
	w.parts[at] = b
	return at
}

func (w *world) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		for at, p := range w.parts {
			if addr >= at && addr+uint64(len(b)) <= at+uint64(len(p)) {
				copy(b, p[addr-at:])
				return nil
			}
		}
		return fmt.Errorf("%w: 0x%x", process.ErrMemory, addr)
	})
}

// str adds a zend_string. Its hash need not be PHP's.
func (w *world) str(s string) uint64 {
	if s == "" {
		return 0
	}
	b := make([]byte, 24, 25+len(s))
	h := uint64(5381)
	for _, c := range []byte(s) {
		h = h*33 + uint64(c)
	}
	binary.LittleEndian.PutUint64(b[8:], h|1<<63)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(s)))
	return w.add(append(append(b, s...), 0))
}

// function is a zend_function that is added to a world.
type function struct {
	typ               byte
	name, class, file string
	start, end        uint32
}

// add returns the addresses of the function, its name, its class and its file.
func (f function) add(w *world, l layout) (at, name, class, file uint64) {
	name, file = w.str(f.name), w.str(f.file)
	if f.class != "" {
		b := make([]byte, 16)
		binary.LittleEndian.PutUint64(b[className:], w.str(f.class))
		class = w.add(b)
	}
	b := make([]byte, 240)
	b[0] = f.typ
	binary.LittleEndian.PutUint64(b[functionName:], name)
	binary.LittleEndian.PutUint64(b[functionScope:], class)
	binary.LittleEndian.PutUint64(b[l.filename:], file)
	binary.LittleEndian.PutUint32(b[l.filename+8:], f.start)
	binary.LittleEndian.PutUint32(b[l.filename+12:], f.end)
	return w.add(b), name, class, file
}

// cookie is what push_call() of php.bpf.c makes.
func cookie(t *testing.T, i *instance, name, class, file uint64) uint64 {
	t.Helper()
	get := func(addr uint64) text {
		x, err := i.text(addr)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	c := get(name).mix(1)
	if class != 0 {
		at, err := i.memory.Uint64(class + className)
		if err != nil {
			t.Fatal(err)
		}
		c = get(at).mix(c)
	}
	return get(file).mix(c)
}

var sameFile = cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })

func pack(p uint64) uint64 { return p &^ 7 << 16 }

func TestSymbolize(t *testing.T) {
	t.Parallel()
	const user = 2
	tests := map[string]struct {
		f       function
		subtype uint8
		line    uint64
		want    libpf.Frame
	}{
		"function": {function{user, "morning", "", "/srv/a.php", 3, 9}, kindUser, 5,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "morning", SourceFile: "/srv/a.php", SourceLine: 5}},
		"method": {function{user, "bake", "App\\Oven", "/srv/a.php", 3, 9}, kindUser, 4,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "App\\Oven::bake", SourceFile: "/srv/a.php", SourceLine: 4}},
		"compiled": {function{user, "morning", "", "/srv/a.php", 3, 9}, kindUser | kindCompiled, 5,
			libpf.Frame{Type: libpf.PHPJITFrame, FunctionName: "morning", SourceFile: "/srv/a.php", SourceLine: 5}},
		"no line": {function{user, "morning", "", "/srv/a.php", 3, 9}, kindUser, 0,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "morning", SourceFile: "/srv/a.php", SourceLine: 3}},
		"internal": {function{internal, "usort", "", "", 0, 0}, kindInternal, 0,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "usort"}},
		"internal method": {function{internal, "resume", "Fiber", "", 0, 0}, kindInternal, 0,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "Fiber::resume"}},
		"closure": {function{user, "App\\{closure}", "", "/srv/a.php", 3, 9}, kindParts, 5,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "App\\{closure}", SourceFile: "/srv/a.php", SourceLine: 5}},
		"closure in a method": {function{user, "{closure}", "Oven", "/srv/a.php", 3, 9}, kindParts, 5,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "Oven::{closure}", SourceFile: "/srv/a.php", SourceLine: 5}},
		"closure of 8.4": {function{user, "{closure:Oven::bake():7}", "Oven", "/srv/a.php", 3, 9}, kindParts, 8,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "{closure:Oven::bake():7}", SourceFile: "/srv/a.php", SourceLine: 8}},
		"main": {function{user, "", "", "/srv/a.php", 1, 20}, kindParts, 12,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "{main}", SourceFile: "/srv/a.php", SourceLine: 12}},
		"include": {function{user, "", "", "/srv/b.php", 1, 20}, kindParts | kindNested, 12,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "{include}", SourceFile: "/srv/b.php", SourceLine: 12}},
		"anonymous class": {function{user, "run", "class@anonymous\x00/srv/a.php:3$0", "/srv/a.php", 3, 9}, kindUser, 5,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "class@anonymous::run", SourceFile: "/srv/a.php", SourceLine: 5}},
		"control characters": {function{user, "a\nb\x1b[0m", "", "/srv/\t.php", 3, 9}, kindUser, 5,
			libpf.Frame{Type: libpf.PHPFrame, FunctionName: "a?b?[0m", SourceFile: "/srv/?.php", SourceLine: 5}},
	}
	for v, l := range layouts {
		for name, tt := range tests {
			t.Run(fmt.Sprintf("%d.%d/%s", v[0], v[1], name), func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				i := &instance{memory: w.memory(), layout: l, record: &bpfPhpProcess{}}
				at, fn, class, file := tt.f.add(w, l)
				f := frameOf(t, i, tt.subtype, tt.line, tt.f, at, fn, class, file)
				want := tt.want
				want.AddressOrLineno = libpf.AddressOrLineno(want.SourceLine)
				for range 2 { // the second time from the cache
					got, err := i.Symbolize(f, nil)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]libpf.Frame{want}, got, sameFile); diff != "" {
						t.Error(diff)
					}
				}
			})
		}
	}
}

// frameOf makes the words that push_call() of php.bpf.c pushes.
func frameOf(t *testing.T, i *instance, subtype uint8, line uint64, fn function, at, name, class, file uint64) interpreter.Frame {
	t.Helper()
	f := interpreter.Frame{Subtype: subtype, Addr: at}
	switch kind := subtype &^ kindCompiled; {
	case kind == kindInternal:
		f.W2 = cookieOfInternal(t, i, name, class)
	case kind&kindParts != 0:
		f.Addr = file
		f.W1 = pack(name) | line
		f.W2 = pack(class) | cookie(t, i, name, class, file)&packedMask
	default:
		f.W1 = uint64(fn.start)<<32 | line
		f.W2 = mix(cookie(t, i, name, class, file), uint64(fn.end)<<32|uint64(fn.start))
	}
	return f
}

func cookieOfInternal(t *testing.T, i *instance, name, class uint64) uint64 {
	t.Helper()
	n, err := i.text(name)
	if err != nil {
		t.Fatal(err)
	}
	_, c, err := i.class(class, n.mix(1))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStale(t *testing.T) {
	t.Parallel()
	l := layouts[[2]int{8, 2}]
	w := newWorld()
	i := &instance{memory: w.memory(), layout: l, record: &bpfPhpProcess{}}
	one := function{2, "front", "", "/srv/a.php", 3, 9}
	at, name, class, file := one.add(w, l)
	f := frameOf(t, i, kindUser, 5, one, at, name, class, file)
	// Another function of the same shape takes its place.
	copy(w.parts[name][24:], "admin")
	w.parts[name][8] ^= 1 // its hash
	if got, err := i.Symbolize(f, nil); !errors.Is(err, interpreter.ErrStale) {
		t.Errorf("got %v, %v; want %v", got, err, interpreter.ErrStale)
	}
	parts := frameOf(t, i, kindParts, 5, one, at, name, class, file)
	w.parts[file][8] ^= 1
	if got, err := i.Symbolize(parts, nil); !errors.Is(err, interpreter.ErrStale) {
		t.Errorf("got %v, %v; want %v", got, err, interpreter.ErrStale)
	}
	if _, err := i.Symbolize(interpreter.Frame{Subtype: 31}, nil); err == nil {
		t.Error("a kind of frame that is not known has names")
	}
}

// TestIncluded: the code of a file that was included ran and is gone, with its copy of the
// file's name. The engine's table of included files has the name.
func TestIncluded(t *testing.T) {
	t.Parallel()
	l := layouts[[2]int{8, 2}]
	for name, class := range map[string]string{"in a function": "", "in a method": "Shop\\View"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			i := &instance{memory: w.memory(), layout: l, record: &bpfPhpProcess{}}
			code := function{typ: 2, class: class, file: "/srv/page.php", start: 1, end: 4}
			at, name, class, file := code.add(w, l)
			f := frameOf(t, i, kindParts|kindNested, 3, code, at, name, class, file)
			files := []string{"/srv/index.php", code.file, "/srv/last.php"}
			buckets := make([]byte, bucketSize*len(files))
			for k, path := range files {
				s := w.str(path)
				copy(buckets[bucketSize*k+bucketHash:][:8], w.parts[s][stringHash:])
				binary.LittleEndian.PutUint64(buckets[bucketSize*k+bucketKey:], s)
			}
			table := make([]byte, 56)
			binary.LittleEndian.PutUint64(table[tableBuckets:], w.add(buckets))
			binary.LittleEndian.PutUint32(table[tableBuckets+8:], uint32(len(files))) //nolint:gosec // three
			for _, taken := range []string{"by another name", "by nothing"} {
				if taken == "by nothing" {
					delete(w.parts, file)
				} else {
					w.parts[file][stringHash] ^= 1
				}
				i.included, i.names = 0, nil
				if got, err := i.Symbolize(f, nil); err == nil {
					t.Errorf("its place was taken %s, and nothing tells what it was: got %v", taken, got)
				}
				i.included = w.add(table)
				got, err := i.Symbolize(f, nil)
				if err != nil || got[0].FunctionName != includedCode || got[0].SourceFile != code.file || got[0].SourceLine != 3 {
					t.Errorf("its place was taken %s: got %v, %v", taken, got, err)
				}
				// Of a file that was not included nothing is said.
				i.names = nil
				other := f
				other.W2 ^= 1
				if got, err := i.Symbolize(other, nil); err == nil {
					t.Errorf("its place was taken %s: other code has its name: %v", taken, got)
				}
			}
		})
	}
}

// TestBrokenMemory reads functions out of memory that ends early or is noise.
func TestBrokenMemory(t *testing.T) {
	t.Parallel()
	l := layouts[[2]int{8, 2}]
	for _, size := range []int{0, 1, 8, 23, 24, 100, 159, 167} {
		w := newWorld()
		at := w.add(make([]byte, size))
		i := &instance{memory: w.memory(), layout: l, record: &bpfPhpProcess{}}
		for _, kind := range []uint8{kindUser, kindInternal, kindParts, kindParts | kindNested} {
			if got, err := i.Symbolize(interpreter.Frame{Subtype: kind, Addr: at, W1: pack(at), W2: pack(at)}, nil); err == nil {
				t.Errorf("%d bytes, kind %d: %v", size, kind, got)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	noise := process.NewMemoryFunc(func(b []byte, _ uint64) error {
		for k := range b {
			b[k] = byte(r.Uint32())
		}
		return nil
	})
	i := &instance{memory: noise, layout: l, record: &bpfPhpProcess{}, included: 0x1000}
	for range 1000 {
		f := interpreter.Frame{Subtype: uint8(r.Uint32() & 31), Addr: r.Uint64() >> 16, W1: r.Uint64(), W2: r.Uint64()}
		if got, err := i.Symbolize(f, nil); err == nil {
			t.Fatalf("noise has a name: %v", got)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	l := layouts[[2]int{8, 2}]
	w := newWorld()
	i := &instance{memory: w.memory(), layout: l, record: &bpfPhpProcess{}}
	file := w.str("/srv/a.php")
	i.names = map[nameKey]names{}
	for n := range maxNames {
		i.names[nameKey{addr: uint64(n)}] = names{}
	}
	f := interpreter.Frame{Subtype: kindParts, Addr: file, W2: cookie(t, i, 0, 0, file) & packedMask}
	if _, err := i.Symbolize(f, nil); err != nil {
		t.Fatal(err)
	}
	if len(i.names) > maxNames {
		t.Errorf("%d names are kept", len(i.names))
	}
}

func TestFindCompiled(t *testing.T) {
	t.Parallel()
	file := process.Mapping{Start: 0x1000, End: 0x2000, Inode: 7, Path: "/usr/bin/php8.2"}
	regex := process.Mapping{Start: 0x3000, End: 0x4000}
	code := process.Mapping{Start: 0x10000, End: 0x20000, Inode: 9, Path: "/dev/zero", Deleted: true}
	i := &instance{record: &bpfPhpProcess{}}
	if i.findCompiled(&interpreter.Process{Mappings: []process.Mapping{file, regex}}) {
		t.Error("found in a process without compiled code")
	}
	p := &interpreter.Process{Mappings: []process.Mapping{file, regex, code}}
	if changed, err := i.Refresh(p); !changed || err != nil {
		t.Errorf("not found: %v", err)
	}
	if i.record.JitStart != code.Start || i.record.JitEnd != code.End {
		t.Errorf("found at 0x%x to 0x%x", i.record.JitStart, i.record.JitEnd)
	}
	if changed, _ := i.Refresh(p); changed {
		t.Error("changed without a change")
	}
}

func FuzzSymbolize(f *testing.F) {
	f.Add(uint8(0), uint64(0xffff_7f00_1000), uint64(5), uint64(7), []byte("\x02 a function of the fuzzer's"))
	f.Add(uint8(2), uint64(0xffff_7f00_1000), uint64(5)<<20, uint64(7)<<20, make([]byte, 200))
	f.Fuzz(func(t *testing.T, subtype uint8, addr, w1, w2 uint64, mem []byte) {
		m := process.NewMemoryFunc(func(b []byte, addr uint64) error {
			if len(mem) == 0 {
				return process.ErrMemory
			}
			for k := range b {
				b[k] = mem[(addr+uint64(k))%uint64(len(mem))]
			}
			return nil
		})
		i := &instance{memory: m, layout: layouts[[2]int{8, 4}], record: &bpfPhpProcess{}}
		got, err := i.Symbolize(interpreter.Frame{Subtype: subtype, Addr: addr, W1: w1, W2: w2}, nil)
		if (err == nil) != (len(got) == 1) {
			t.Fatalf("%v, %v", got, err)
		}
		for _, g := range got {
			if g.FunctionName == "" || len(g.FunctionName) > 4*maxString || g.FunctionName != process.Clean([]byte(g.FunctionName)) {
				t.Fatalf("name %q", g.FunctionName)
			}
		}
	})
}
