// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

const testBias = imageBase - 0x1000

// testExecutable is a file whose variables are in the image.
func testExecutable() *executable {
	at := func(addr, size uint64) pfelf.Symbol { return pfelf.Symbol{Value: addr - testBias, Size: size} }
	return &executable{
		symbols: map[string]pfelf.Symbol{
			"the_active_code_index": at(imageBase+0xf00, 4), "erts_proc": at(procTable, 320),
		},
		mainReturn: mainRet - testBias,
		data:       []segment{{0x1000, 64}, {rangesAt - testBias, 0x200}},
	}
}

func testEmulator(md5 uint8) *image {
	m := newImage()
	m.putModule(md5, 2)
	m.putEmulator()
	return m
}

func TestLayout(t *testing.T) {
	t.Parallel()
	for _, md5 := range headerMD5 {
		m := testEmulator(md5)
		x := testExecutable()
		got, err := x.layout(m.memory(), testBias, schedAt, exitAt)
		if err != nil {
			t.Fatal(err)
		}
		want := &layout{
			ranges: rangesAt - testBias, schedProcess: 0x68, mainOffset: 0x3008, procBase: 0x50,
			stop: 1, heap: 6, hend: 7, md5: md5, functions: md5 + 2,
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(layout{})); diff != "" {
			t.Error(diff)
		}
		// What was found once serves all processes that run the file.
		if again, err := x.layout(newImage().memory(), 0, 0, 0); err != nil || again != got {
			t.Errorf("second process: %v, %v", again, err)
		}
	}
}

// TestLayoutNotReady takes away what an emulator does not have yet when it starts.
func TestLayoutNotReady(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*image){
		"no modules":   func(m *image) { m.put(rangesAt, 0, 0, 0, 0) },
		"no processes": func(m *image) { m.put(procTab+8, 0, 0, 0) },
		"one process":  func(m *image) { m.put(procTab+8, procAt, 0, 0) },
		"no registers": func(m *image) { m.put(schedAt, 0) },
		"main not run": func(m *image) { m.put(registerAt+0x3008, 0) },
	} {
		m := testEmulator(md5Old)
		change(m)
		if l, err := testExecutable().layout(m.memory(), testBias, schedAt, exitAt); !errors.Is(err, interpreter.ErrNotReady) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

func TestLayoutBrokenMemory(t *testing.T) {
	t.Parallel()
	m := testEmulator(md5Old)
	for size := uint64(0); size < 0xa0000; size += 0x1808 {
		m.size = size
		_, _ = testExecutable().layout(m.memory(), testBias, schedAt, exitAt)
	}
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // repeatable
	for range 100 {
		m := testEmulator(md5New)
		m.scramble(r)
		_, _ = testExecutable().layout(m.memory(), testBias, schedAt, exitAt)
	}
}

func TestReadModules(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		words []uint64
		want  int
	}{
		"sorted":      {[]uint64{0x10000, 0x20000, 0x20000, 0x30000}, 2},
		"one purged":  {[]uint64{0x10000, 0x10000, 0x20000, 0x30000}, 1},
		"all purged":  {[]uint64{0x10000, 0x10000, 0x20000, 0x20000}, 0},
		"not sorted":  {[]uint64{0x20000, 0x30000, 0x10000, 0x20000}, 0},
		"overlapping": {[]uint64{0x10000, 0x28000, 0x20000, 0x30000}, 0},
		"ends first":  {[]uint64{0x10000, 0x20000, 0x30000, 0x20000}, 0},
		"not aligned": {[]uint64{0x10001, 0x20000, 0x20000, 0x30000}, 0},
	} {
		m := newImage()
		m.put(modulesAt, tt.words...)
		got, err := readModules(m.memory(), moduleTable{modulesAt, 2})
		if len(got) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := readModules(newImage().memory(), moduleTable{modulesAt, 1 << 40}); err == nil {
		t.Error("a table of any length is read")
	}
}

func TestCodeAreas(t *testing.T) {
	t.Parallel()
	maps := []process.Mapping{
		{Start: 0x1000, End: 0x2000}, {Start: 0x2000, End: 0x3000}, {Start: 0x4000, End: 0x5000},
		{Start: 0x6000, End: 0x7000}, {Start: 0x8000, End: 0x9000},
	}
	modules := []module{{0x1100, 0x1200}, {0x2000, 0x2100}, {0x6800, 0x6900}}
	got := codeAreas(maps, modules, 0x8010)
	want := []module{{0x8000, 0x9000}, {0x1000, 0x3000}, {0x6000, 0x7000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(module{})); diff != "" {
		t.Error(diff)
	}
}

func TestMachineCode(t *testing.T) {
	t.Parallel()
	// mov edi, [rip + 0x100]; jmp
	if got, ok := keyVariable([]byte{0x8b, 0x3d, 0, 1, 0, 0, 0xe9}, 0x1000); !ok || got != 0x1106 {
		t.Errorf("variable at %#x, %v", got, ok)
	}
	if got, ok := keyVariable([]byte{0xf3, 0x0f, 0x1e, 0xfa, 0x8b, 0x3d, 0xf0, 0xff, 0xff, 0xff}, 0x1000); !ok || got != 0xffa {
		t.Errorf("variable at %#x, %v", got, ok)
	}
	for _, bad := range [][]byte{nil, {0x8b}, {0x8b, 0x3d, 0, 0}, {0xc3, 0x90}} {
		if _, ok := keyVariable(bad, 0); ok {
			t.Errorf("% x loads a variable", bad)
		}
	}
	var found []uint64
	calls([]byte{0xe8, 0xe8, 0xfa, 0xff, 0xff, 0xff, 0xe8, 1, 0, 0, 0, 0xe8, 0xef, 0xff, 0xff, 0xff, 0xe8}, 0x1000, 0x1000,
		func(ret uint64) { found = append(found, ret) })
	if diff := cmp.Diff([]uint64{0x1006}, found); diff != "" {
		t.Error(diff)
	}
}

func FuzzLayout(f *testing.F) {
	m := testEmulator(md5Old)
	clean := string(m.b)
	f.Add([]byte{0x50, 0, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0}, uint32(imageSize), uint64(schedAt), uint64(exitAt))
	f.Fuzz(func(_ *testing.T, patches []byte, size uint32, sched, exit uint64) {
		copy(m.b, clean)
		m.size = imageSize
		m.patch(patches, size)
		_, _ = testExecutable().layout(m.memory(), testBias, sched, exit)
	})
}

// FuzzDetect feeds files to the detection: whatever they are, it says so.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		defer file.Close() //nolint:errcheck // read only
		if x, err := read(file); (err == nil) != (x != nil) {
			t.Fatal(x, err)
		}
	})
}
