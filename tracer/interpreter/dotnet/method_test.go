// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Where the parts of the fake process are.
const (
	sectionsAt = 0x100000
	methodsAt  = 0x200000 // a chunk of method descriptors
	typeAt     = 0x300000
	genericAt  = 0x310000
	moduleAt   = 0x400000
	namesAt    = 0x500000
)

// fakeProcess has a type with two methods: ChalkDig, and one without metadata.
func fakeProcess(t testing.TB, major int) (*instance, fakeMemory) {
	t.Helper()
	l, err := layoutOf(major)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	chunk := make([]byte, 256)
	le.PutUint64(chunk, typeAt)
	first := chunk[chunkHeader:]
	le.PutUint16(first, 8) // the row of the method
	second := chunk[chunkHeader+64:]
	second[2] = 64 / methodAlignment
	le.PutUint16(second[6:], methodDynamic)
	le.PutUint64(second[l.method.name:], namesAt)
	third := chunk[chunkHeader+128:]
	le.PutUint16(third, 9)
	third[2] = 128 / methodAlignment
	le.PutUint16(third[6:], methodGeneric)
	le.PutUint64(third[l.method.instance:], namesAt+64)
	le.PutUint16(third[l.method.instanceArgCount:], 1)

	typ := make([]byte, 64)
	le.PutUint64(typ[typeModule:], moduleAt)
	le.PutUint64(typ[typeCanonical:], typeAt+0x1000)
	le.PutUint32(typ[typeFlags2:], 3<<8) // its row
	if !l.tokenInFlags {
		le.PutUint16(typ[typeToken:], 3)
	}
	module := make([]byte, 512)
	file := append(assembly(t), make([]byte, 0x1000)...)
	if l.module.base != 0 {
		le.PutUint64(module[l.module.base:], imageBase)
	} else {
		le.PutUint64(module[l.module.simpleName:], imageBase+0xc00)
	}
	names := make([]byte, 1024)
	copy(names, "minted\x00")
	copy(names[64:], words(typeAt))
	f := fakeMemory{methodsAt: chunk, typeAt: typ, moduleAt: module, imageBase: file, namesAt: names}
	return &instance{
		mem: f.memory(), layout: l, images: &imageCache{}, sections: sectionsAt,
		modules: map[uint64]*metadata{}, byImage: map[uint64]*image{}, names: map[nameKey]string{},
	}, f
}

func TestSymbolize(t *testing.T) {
	t.Parallel()
	for major := 6; major <= 10; major++ {
		i, _ := fakeProcess(t, major)
		f := func(at uint64, want string) {
			t.Helper()
			_, cookie, err := i.readMethod(at)
			if err != nil {
				t.Fatal(err)
			}
			got, err := i.Symbolize(interpreter.Frame{Subtype: frameJIT, Addr: at, W1: uint64(cookie)}, nil)
			if err != nil || len(got) != 1 || got[0].FunctionName != want || got[0].Type != libpf.DotnetFrame {
				t.Errorf(".NET %d: got %v, %v, want %s", major, got, err, want)
			}
			if _, err := i.Symbolize(interpreter.Frame{Subtype: frameJIT, Addr: at, W1: uint64(cookie) + 1}, nil); !errors.Is(err, interpreter.ErrStale) {
				t.Errorf(".NET %d: another method was named: %v", major, err)
			}
		}
		f(methodsAt+chunkHeader, "Quarry.ChalkDig")
		f(methodsAt+chunkHeader+64, "[minted]")
		f(methodsAt+chunkHeader+128, "Quarry.FlintKnap<Slate>")
	}
}

func TestSymbolizeStubs(t *testing.T) {
	t.Parallel()
	i, _ := fakeProcess(t, 9)
	for kind, want := range map[uint64]string{0: "[stub]", 5: "[stub: fixup precode]", 200: "[stub]"} {
		got, err := i.Symbolize(interpreter.Frame{Subtype: frameStub, Addr: kind}, nil)
		if err != nil || got[0].FunctionName != want {
			t.Errorf("stub %d is %v, %v", kind, got, err)
		}
	}
	if _, err := i.Symbolize(interpreter.Frame{Subtype: 31}, nil); err == nil {
		t.Error("a frame of an unknown kind was named")
	}
}

// TestGenericType names a method of a type with an argument that is an array.
func TestGenericType(t *testing.T) {
	t.Parallel()
	i, f := fakeProcess(t, 9)
	le := binary.LittleEndian
	const arrayAt, dictionariesAt = genericAt + 0x1000, genericAt + 0x2000
	array := make([]byte, 64)
	le.PutUint32(array, typeHasComponents|typeIsArray)
	le.PutUint64(array[typeInstance:], typeAt)
	f[arrayAt] = array
	// Two dictionaries, the second of which has one argument.
	d := append(make([]byte, 8), words(0, dictionariesAt+24, arrayAt)...)
	le.PutUint16(d[4:], 2)
	le.PutUint16(d[6:], 1)
	f[dictionariesAt] = d
	typ := f[typeAt]
	le.PutUint32(typ, 0x10)
	le.PutUint64(typ[typeInstance:], dictionariesAt+8)
	element := make([]byte, 64)
	copy(element, typ)
	le.PutUint32(element, 0)
	f[typeAt+0x100] = element
	le.PutUint64(array[typeInstance:], typeAt+0x100)

	_, cookie, err := i.readMethod(methodsAt + chunkHeader)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := i.methodName(methodsAt+chunkHeader, cookie); got != "Quarry<Slate[]>.ChalkDig" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	// A type that is its own argument.
	le.PutUint64(f[dictionariesAt][24:], typeAt)
	if got, err := i.methodName(methodsAt+chunkHeader, cookie); err != nil || len(got) > maxName+4 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFindSection(t *testing.T) {
	t.Parallel()
	const at, pc = 0x700000, 0x7f1234567890
	l, err := layoutOf(9)
	if err != nil {
		t.Fatal(err)
	}
	level := func(next uint64, shift int) []byte {
		b := make([]byte, 256*8)
		binary.LittleEndian.PutUint64(b[pc>>shift&255*8:], next)
		return b
	}
	f := fakeMemory{
		sectionsAt: level(0x110001, 49), 0x110000: level(0x120000, 41), 0x120000: level(0x130000, 33),
		0x130000: level(0x140000, 25), 0x140000: level(0x150001, 17),
		// Two fragments, the first of which is another's.
		0x150000: words(0x150020|1, pc+1, pc+2, 0), 0x150020: words(0, pc-1, pc+1, at),
		at: words(pc-8, pc+8, 3, 0, 0x77, 0, 0, 0, 0),
	}
	s, err := findSection(f.memory(), l, sectionsAt, pc)
	if err != nil || s.begin != pc-8 || s.flags != 3 || s.module != 0x77 || s.isImage(l) {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := findSection(f.memory(), l, sectionsAt, pc+1<<20); !errors.Is(err, errNoSection) {
		t.Errorf("an address in no section: %v", err)
	}
	f[0x150020] = words(0x150020, 0, 0, 0) // a list without end
	if _, err := findSection(f.memory(), l, sectionsAt, pc); !errors.Is(err, errNoSection) {
		t.Errorf("a list without end: %v", err)
	}

	l, _ = layoutOf(7)
	f = fakeMemory{
		sectionsAt: words(at), at: words(1, 2, 0, at+64, 0, 0, 0, 0), at + 64: words(pc-8, pc+8, 0, 0, 0, 4, 0x88, 0),
	}
	s, err = findSection(f.memory(), l, sectionsAt, pc)
	if err != nil || s.module != 0x88 || !s.isImage(l) {
		t.Errorf("in a list: got %+v, %v", s, err)
	}
	for seed := range uint64(20) {
		_, _ = findSection(noisy(seed), l, sectionsAt, pc)
	}
}

// TestNoise names frames of a process whose memory is anything.
func TestNoise(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		for major := 6; major <= 10; major++ {
			i, _ := fakeProcess(t, major)
			i.mem = noisy(seed)
			_, cookie, _ := i.readMethod(methodsAt)
			_, _ = i.methodName(methodsAt, cookie)
			_, _ = i.functionName(methodsAt, cookie)
			_ = i.handleName(typeAt, 0)
			_, _ = i.dynamicName(methodsAt)
		}
	}
}

func FuzzMethod(f *testing.F) {
	_, parts := fakeProcess(f, 9)
	f.Add(parts[methodsAt], parts[typeAt], parts[moduleAt], uint8(9))
	f.Fuzz(func(t *testing.T, methods, typ, module []byte, major uint8) {
		i, parts := fakeProcess(t, 6+int(major%5))
		parts[methodsAt], parts[typeAt], parts[moduleAt] = methods, typ, module
		for _, at := range []uint64{methodsAt + chunkHeader, methodsAt + chunkHeader + 64, methodsAt + chunkHeader + 128} {
			if _, cookie, err := i.readMethod(at); err == nil {
				_, _ = i.methodName(at, cookie)
			}
		}
	})
}

// TestAttach reads where the sections are from the debugger's table.
func TestAttach(t *testing.T) {
	t.Parallel()
	const bias, table = 0x10000, 0x2000
	for major := 6; major <= 10; major++ {
		l, err := layoutOf(major)
		if err != nil {
			t.Fatal(err)
		}
		b := &executable{version: "x", major: major, table: table, layout: l}
		f := fakeMemory{bias + table: words(0)}
		p := &interpreter.Process{Memory: f.memory()}
		m := &interpreter.Module{Bias: bias}
		if _, err := b.Attach(p, m); !errors.Is(err, interpreter.ErrNotReady) {
			t.Errorf(".NET %d: before its start: %v", major, err)
		}
		f[bias+table] = words(0x654321)
		i, err := b.Attach(p, m)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(0x654321)
		if major == 6 {
			want += bias
		}
		r := i.Record().(*bpfDotnetProcess) //nolint:forcetypeassert // what it is
		if r.Sections != want || (r.IsList == 1) != (major < 8) {
			t.Errorf(".NET %d: record %+v", major, r)
		}
		f[bias+table] = nil
		if _, err := b.Attach(p, m); !errors.Is(err, process.ErrMemory) {
			t.Errorf(".NET %d: without memory: %v", major, err)
		}
	}
}
