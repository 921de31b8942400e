// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

func testInstance(m *image, md5 uint8) *instance {
	return &instance{mem: m.memory(), layout: layout{md5: md5, functions: md5 + 2}, atomTable: atomPages + 8}
}

func testModule(md5 uint8, size uint64) *image {
	m := newImage()
	m.putAtoms("Elixir.Hive", "buzz", "-buzz/1-fun-0-", "a\nb\x1b")
	m.putModule(md5, size)
	return m
}

func frameAt(in *instance, off uint64) interpreter.Frame {
	return interpreter.Frame{Addr: headerAt, W1: cookie(in.mem, headerAt, in.layout.md5) | off}
}

func TestSymbolize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		md5  uint8
		size uint64
		off  uint64
		want libpf.Frame
	}{
		{"first line", md5Old, 2, 0x230, libpf.Frame{FunctionName: "Hive.buzz/0", SourceFile: "Elixir.Hive.erl", SourceLine: 10, AddressOrLineno: 10}},
		{"second line", md5Old, 2, 0x250, libpf.Frame{FunctionName: "Hive.buzz/0", SourceFile: "Elixir.Hive.erl", SourceLine: 11, AddressOrLineno: 11}},
		{"before the first line", md5Old, 2, 0x210, libpf.Frame{FunctionName: "Hive.buzz/0", AddressOrLineno: 0x200}},
		{"another file", md5New, 4, 0x330, libpf.Frame{FunctionName: "anonymous fn/1 in Hive.buzz/1", SourceFile: "lib/hive.ex", SourceLine: 20, AddressOrLineno: 20}},
		{"file without a name", md5New, 4, 0x430, libpf.Frame{FunctionName: "Hive.a?b?/2", SourceFile: "Elixir.Hive.erl", SourceLine: 30, AddressOrLineno: 30}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := testInstance(testModule(tt.md5, tt.size), tt.md5)
			got, err := in.Symbolize(frameAt(in, tt.off), nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Type = libpf.BEAMFrame
			if diff := cmp.Diff([]libpf.Frame{tt.want}, got, cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSymbolizeOtherKinds(t *testing.T) {
	t.Parallel()
	in := testInstance(newImage(), md5Old)
	for kind, want := range map[uint8]string{frameSharedCode: "[shared code]", frameProcessMain: "process_main"} {
		got, err := in.Symbolize(interpreter.Frame{Subtype: kind}, nil)
		if err != nil || len(got) != 1 || got[0].FunctionName != want {
			t.Errorf("kind %d: %v, %v", kind, got, err)
		}
	}
	if _, err := in.Symbolize(interpreter.Frame{Subtype: 31}, nil); err == nil {
		t.Error("an unknown kind of frame has a name")
	}
}

// TestSymbolizeStale replaces a module by another one at the same address, with
// its tables known and not.
func TestSymbolizeStale(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*image){
		"sum":       func(m *image) { m.text(md5At, "x") },
		"functions": func(m *image) { m.put(headerAt, 2) },
		"lines":     func(m *image) { m.put(linesAt+lineTableFunctions+3*8, linesAt+0x100+5*8) },
	} {
		for _, known := range []bool{false, true} {
			m := testModule(md5Old, 2)
			in := testInstance(m, md5Old)
			f := frameAt(in, 0x230)
			if known {
				if _, err := in.Symbolize(f, nil); err != nil {
					t.Fatal(err)
				}
			}
			change(m)
			if got, err := in.Symbolize(f, nil); !errors.Is(err, interpreter.ErrStale) {
				t.Errorf("%s, known %v: %v, %v", name, known, got, err)
			}
		}
	}
	in := testInstance(testModule(md5Old, 2), md5Old)
	for _, off := range []uint64{0, 0x1ff, 0x500, 1<<offsetBits - 1} {
		if got, err := in.Symbolize(frameAt(in, off), nil); err == nil {
			t.Errorf("no function is at %#x: %v", off, got)
		}
	}
}

func TestSymbolizeBrokenMemory(t *testing.T) {
	t.Parallel()
	m := testModule(md5New, 4)
	for size := uint64(0); size < 0x24000; size += 0x208 {
		m.size = size
		in := testInstance(m, md5New)
		_, _ = in.Symbolize(frameAt(in, 0x330), nil)
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	for range 300 {
		m := testModule(md5Old, 2)
		m.scramble(r)
		in := testInstance(m, md5Old)
		for off := uint64(0x200); off < 0x500; off += 0x70 {
			_, _ = in.Symbolize(frameAt(in, off), nil)
		}
	}
}

func TestAtom(t *testing.T) {
	t.Parallel()
	m := newImage()
	m.putAtoms("", "ok", "größe")
	in := testInstance(m, md5Old)
	for i, want := range []string{"", "ok", "größe"} {
		if got, err := in.atom(term(uint64(i))); err != nil || got != want {
			t.Errorf("atom %d is %q, %v; want %q", i, got, err, want)
		}
	}
	// As OTP 28 keeps them.
	m.put(atomData+0x100+atomName, md5At&^7|boxed)
	m.put(md5At&^7, 0x64, 2*8)
	m.text(md5At&^7+16, "ok")
	if got, err := testInstance(m, md5Old).atom(term(1)); err != nil || got != "ok" {
		t.Errorf("atom in a binary is %q, %v", got, err)
	}
	m.put(atomData+2*0x100+atomLength, 5000)
	for name, bad := range map[string]uint64{
		"a small integer": 0x1f, "no such atom": term(5), "far away": term(1 << 30), "a pointer": imageBase, "too long": term(2),
	} {
		if got, err := testInstance(m, md5Old).atom(bad); err == nil {
			t.Errorf("%s has the name %q", name, got)
		}
	}
}

func TestReadString(t *testing.T) {
	t.Parallel()
	m := newImage()
	for term, want := range map[uint64]string{
		m.putList(linesAt, "a\nb"): "a?b", emptyList: "", 0xf: "", term(1): "", 0xdead0001: "",
	} {
		if got := readString(m.memory(), term); got != want {
			t.Errorf("%#x is %q, want %q", term, got, want)
		}
	}
	m.put(linesAt, 'x'<<4|smallTag, linesAt|list) // without an end
	if got := readString(m.memory(), linesAt|list); got != "" {
		t.Errorf("a list without an end is %q", got)
	}
}

func TestFunctionName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		module, function string
		arity            uint64
		want             string
	}{
		{"lists", "map", 2, "lists:map/2"},
		{"hive", "-round/1-fun-0-", 1, "hive:-round/1-fun-0-/1"},
		{"Elixir.Enum", "map", 2, "Enum.map/2"},
		{"Elixir.Task.Supervised", "reply", 4, "Task.Supervised.reply/4"},
		{"Elixir.Forge", "-smelt/1-fun-0-", 3, "anonymous fn/3 in Forge.smelt/1"},
		{"Elixir.Enum", "-map/2-lists^map/1-0-", 2, "Enum.-map/2-lists^map/1-0-/2"},
		{"Elixir.X", "-fun-", 0, "X.-fun-/0"},
		{"", "", 0, ":/0"},
	} {
		if got := functionName(tt.module, tt.function, tt.arity); got != tt.want {
			t.Errorf("%s, %s: %q, want %q", tt.module, tt.function, got, tt.want)
		}
	}
}

func FuzzSymbolize(f *testing.F) {
	m := testModule(md5Old, 2)
	clean := string(m.b)
	f.Add([]byte{0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0}, uint32(imageSize), uint64(headerAt), uint64(0x230))
	f.Fuzz(func(t *testing.T, patches []byte, size uint32, header, off uint64) {
		copy(m.b, clean)
		m.size = imageSize
		m.patch(patches, size)
		in := testInstance(m, md5Old)
		frame := interpreter.Frame{Addr: header, W1: cookie(in.mem, header, in.layout.md5) | off&(1<<offsetBits-1)}
		out, err := in.Symbolize(frame, nil)
		if (err == nil) != (len(out) == 1) {
			t.Fatalf("%v, %v", out, err)
		}
	})
}
