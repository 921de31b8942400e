// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// TestDetectSelf reads the offset out of this very program, which can set labels.
func TestDetectSelf(t *testing.T) {
	t.Parallel()
	pprof.SetGoroutineLabels(t.Context()) // makes the linker keep the setter
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*pfelf.File, error) { return pfelf.Open(exe) }
	b, err := Runtime{}.Detect(&interpreter.Executable{Path: exe, Open: open})
	if err != nil || b == nil {
		t.Fatalf("Detect() = %v, %v", b, err)
	}
	if b.Version() != runtime.Version() {
		t.Errorf("version %s, want %s", b.Version(), runtime.Version())
	}
	p := b.(*program).process //nolint:forcetypeassert // its only type
	if p.AsList != 1 || p.G_labels < minOffset || p.G_labels%8 != 0 {
		t.Errorf("process %+v", p)
	}
}

func TestLabelsOffset(t *testing.T) {
	t.Parallel()
	arm := func(in ...uint32) (b []byte) {
		for _, i := range in {
			b = binary.LittleEndian.AppendUint32(b, i)
		}
		return b
	}
	for name, c := range map[string]struct {
		machine elf.Machine
		code    []byte
		want    uint32
	}{
		"in g's register":  {elf.EM_X86_64, []byte{0x90, 0x49, 0x89, 0x86, 0x58, 0x01, 0, 0, 0xc3}, 0x158},
		"after a barrier":  {elf.EM_X86_64, []byte{0x49, 0x89, 0x4b, 0x08, 0x48, 0x89, 0x81, 0x60, 0x01, 0, 0, 0xc3}, 0x160},
		"on the stack":     {elf.EM_X86_64, []byte{0x48, 0x89, 0x84, 0x24, 0x60, 0x01, 0, 0}, 0},
		"a load":           {elf.EM_X86_64, []byte{0x49, 0x8b, 0x8e, 0x60, 0x01, 0, 0}, 0},
		"too far":          {elf.EM_X86_64, []byte{0x49, 0x89, 0x86, 0x60, 0x01, 1, 0}, 0},
		"cut short":        {elf.EM_X86_64, []byte{0x49, 0x89, 0x86, 0x60, 0x01, 0}, 0},
		"arm64":            {elf.EM_AARCH64, arm(0xd503201f, 0xf900b380), 0x160},
		"arm64, the stack": {elf.EM_AARCH64, arm(0xf900b3e0), 0},
		"another machine":  {elf.EM_RISCV, []byte{1, 2, 3, 4, 5, 6, 7, 8}, 0},
	} {
		got, ok := labelsOffset(c.machine, c.code)
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%s: %#x, %v; want %#x", name, got, ok, c.want)
		}
	}
}

func TestAsList(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]uint32{
		"go1.18": 0, "go1.23.4": 0, "go1.24": 1, "go1.24rc1": 1, "go1.26.8": 1, "devel go1.25-abc": 1, "unknown": 1, "": 1,
	} {
		if got := asList(version); got != want {
			t.Errorf("asList(%q) = %d, want %d", version, got, want)
		}
	}
}

func FuzzLabelsOffset(f *testing.F) {
	f.Add(uint16(elf.EM_X86_64), []byte{0x49, 0x89, 0x86, 0x58, 0x01, 0, 0})
	f.Add(uint16(elf.EM_AARCH64), []byte{0x80, 0xb3, 0x00, 0xf9})
	f.Fuzz(func(t *testing.T, machine uint16, code []byte) {
		if off, ok := labelsOffset(elf.Machine(machine), code); ok && (off < minOffset || off >= maxOffset) {
			t.Errorf("offset %#x is out of bounds", off)
		}
	})
}
