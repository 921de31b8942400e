// SPDX-License-Identifier: Apache-2.0

package perl

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

var files = cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })

func frameOf(name, file string, line int) libpf.Frame {
	return libpf.Frame{
		Type: libpf.PerlFrame, FunctionName: name, SourceFile: file,
		SourceLine: libpf.SourceLineno(line), AddressOrLineno: libpf.AddressOrLineno(line), //nolint:gosec // small
	}
}

// frames lays out one frame of each kind and what it is to be called.
func frames(m *image, d *decoder) (in []interpreter.Frame, want []libpf.Frame) {
	add := func(f interpreter.Frame, name, file string, line int) {
		in = append(in, f)
		want = append(want, frameOf(name, file, line))
	}
	cop := m.cop(d, "/srv/app.pl", 42)
	boat := m.stash(d.layout, "Boat::Sail", 0)

	haul := m.hek(1, "haul")
	add(d.pushed(kindSub, haul, boat, 0, haul, cop), "Boat::Sail::haul", "/srv/app.pl", 42)
	for _, count := range []int32{2, -2} {
		stash := m.stash(d.layout, "Many", count)
		add(d.pushed(kindSub, haul, stash, 0, haul, cop), "Many::haul", "/srv/app.pl", 42)
	}
	add(d.pushed(kindSub, haul, 0, 0, haul, cop), "__ANON__::haul", "/srv/app.pl", 42)
	add(d.pushed(kindLexical, haul, boat, 0, haul, cop), "haul", "/srv/app.pl", 42)

	text := func(glob uint64) uint64 {
		g, _ := d.glob(glob)
		return g.name
	}
	glob := m.glob(boat, "reef")
	add(d.pushed(kindGlob, glob, 0, boat, text(glob), cop), "Boat::Sail::reef", "/srv/app.pl", 42)
	add(d.pushed(kindFormat, glob, 0, boat, text(glob), cop), "Boat::Sail::reef", "/srv/app.pl", 42)
	anon := m.glob(boat, "__ANON__")
	add(d.pushed(kindGlob, anon, m.cop(d, "/srv/lib/Knot.pm", 7), boat, text(anon), cop),
		"Boat::Sail::__ANON__[Knot.pm:7]", "/srv/app.pl", 42)
	add(d.pushed(kindGlob, anon, boat, boat, text(anon), cop), "Boat::Sail::__ANON__", "/srv/app.pl", 42)
	add(d.pushed(kindGlob, 0, 0, 0, 0, cop), "__ANON__", "/srv/app.pl", 42)

	add(d.pushed(kindEval, 0, 0, 0, 0, cop), "(eval)", "/srv/app.pl", 42)
	add(d.pushed(kindString, 3, 0, 0, 0, m.cop(d, "(eval 17)", 3)), "(eval)", "(eval)", 3)
	add(d.pushed(kindString, 3, 0, 0, 0, 0x1230), "(eval)", "(eval)", 3) // gone
	file := m.put(map[int]any{0: "Boat/Sail.pm"})
	add(d.pushed(kindRequire, file, 0, 0, file, cop), "require Boat/Sail.pm", "/srv/app.pl", 42)
	add(d.pushed(kindRequire, 0x1230, 0, 0, file, cop), "require", "/srv/app.pl", 42)
	add(d.pushed(kindMain, 0, 0, 0, 0, cop), "<main>", "/srv/app.pl", 42)
	add(d.pushed(kindMain, 0, 0, 0, 0, 0x1230), "<main>", "", 0)
	add(d.pushed(kindSub, haul, boat, 0, haul, m.cop(d, "/srv/bad\x1b[2J\n.pl", 1)), "Boat::Sail::haul", "/srv/bad?[2J?.pl", 1)
	return in, want
}

func decoders() map[string]*decoder {
	old, _ := layoutOf("", 5, 30)
	now, _ := layoutOf("", 5, 42)
	return map[string]*decoder{
		"5.30 threads":    {layout: old},
		"5.30 no threads": {layout: old, fileIsGlob: true},
		"5.42 threads":    {layout: now},
		"5.42 no threads": {layout: now, fileIsGlob: true},
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for version, d := range decoders() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := newImage()
			d.memory = m.memory()
			in, want := frames(m, d)
			i := &instance{names: *d, cache: map[interpreter.Frame]libpf.Frame{}}
			for n := range in {
				for range 2 { // the second time from the cache
					got, err := i.Symbolize(in[n], nil)
					if err != nil {
						t.Fatalf("frame %d, %s: %v", n, want[n].FunctionName, err)
					}
					if diff := cmp.Diff([]libpf.Frame{want[n]}, got, files); diff != "" {
						t.Errorf("frame %d:\n%s", n, diff)
					}
				}
			}
		})
	}
}

func TestReplaced(t *testing.T) {
	t.Parallel()
	for version, d := range decoders() {
		m := newImage()
		d.memory = m.memory()
		stash := m.stash(d.layout, "Boat", 0)
		cop := m.cop(d, "/srv/app.pl", 42)
		old, other := m.hek(1, "haul"), m.hek(2, "sink")
		f := d.pushed(kindSub, old, stash, 0, old, cop)
		copy(m.blocks[old], m.blocks[other])
		if got, err := d.frame(f); !errors.Is(err, interpreter.ErrStale) {
			t.Errorf("%s: another name: %v, %v", version, got, err)
		}
		// Another statement: the name stays, the line goes.
		f = d.pushed(kindSub, other, stash, 0, other, cop)
		binary.LittleEndian.PutUint32(m.blocks[cop][copLine:], 99)
		got, err := d.frame(f)
		if diff := cmp.Diff(frameOf("Boat::sink", "", 0), got, files); err != nil || diff != "" {
			t.Errorf("%s: another statement: %v\n%s", version, err, diff)
		}
		f.Subtype = 31
		if _, err := d.frame(f); err == nil {
			t.Errorf("%s: an unknown kind is accepted", version)
		}
	}
}

// TestBrokenMemory reads from memory that is cut short anywhere, and from noise.
func TestBrokenMemory(t *testing.T) {
	t.Parallel()
	for _, d := range decoders() {
		m := newImage()
		d.memory = m.memory()
		in, _ := frames(m, d)
		for gone := range m.blocks {
			broken := *d
			broken.memory = process.NewMemoryFunc(func(b []byte, addr uint64) error {
				if addr&^(blockSize-1) == gone {
					return process.ErrMemory
				}
				return d.memory.Read(b, addr)
			})
			for _, f := range in {
				_, _ = broken.frame(f)
			}
		}
		for seed := range uint64(200) {
			noise := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
			broken := *d
			broken.memory = process.NewMemoryFunc(func(b []byte, _ uint64) error {
				for i := range b {
					b[i] = byte(noise.Uint32())
				}
				return nil
			})
			for _, f := range in {
				_, _ = broken.frame(f)
			}
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(uint8(0), uint64(0x1000), uint64(0x2000), uint64(0x3000), []byte("some memory"), false)
	f.Add(uint8(6), uint64(0x1000), uint64(0x2000), uint64(0x3000), []byte{0, 0x10, 0, 0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, kind uint8, addr, w1, w2 uint64, memory []byte, old bool) {
		minor := byte(42)
		if old {
			minor = 30
		}
		l, err := layoutOf("", 5, minor)
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{layout: l, fileIsGlob: addr&8 != 0, memory: process.NewMemoryFunc(func(b []byte, at uint64) error {
			if len(memory) == 0 {
				return process.ErrMemory
			}
			for i := range b {
				b[i] = memory[(at+uint64(i))%uint64(len(memory))]
			}
			return nil
		})}
		got, err := d.frame(interpreter.Frame{Subtype: kind, Addr: addr, W1: w1, W2: w2})
		if err == nil && got.FunctionName == "" && kind != kindLexical {
			t.Errorf("a frame without a name: %+v", got)
		}
		if process.Clean([]byte(got.FunctionName)) != got.FunctionName {
			t.Errorf("name is not clean: %q", got.FunctionName)
		}
	})
}
