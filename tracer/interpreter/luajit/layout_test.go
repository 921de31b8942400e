// SPDX-License-Identifier: Apache-2.0

package luajit

import (
	"encoding/binary"
	"encoding/hex"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Instructions of virtual machines as distributions have built them: adding up
// DISPATCH, setting vmstate, and JLOOP.
const (
	wideCode = "4c8b7510 4981c6800f0000 41c78638f1ffffffffffff " +
		"498b8ed8f4ffff 488b04c1 488b4058 488b6c2410 498996f8f1ffff 4989ae60f1ffff 4883ec10"
	narrowCode = "448b7508 4181c6280c0000 41c78634f4ffffffffffff " +
		"418b8ee8f6ffff 8b0481 488b4040 8b6c2418 418996d4f4ffff 4189ae44f4ffff 4c892424"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFindLayout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code string
		want layout
		ok   bool
	}{
		"wide":             {wideCode, layout{true, 0xf80 - 0xe08, 0xf80 - 0xec8, 0xf80 - 0xb28, 72}, true},
		"narrow":           {narrowCode, layout{false, 0xc28 - 0xb2c, 0xc28 - 0xbcc, 0xc28 - 0x918, 52}, true},
		"no compiler":      {"4c8b7510 4981c6800f0000", layout{wide: true}, true},
		"far away":         {strings.Replace(wideCode, "4981c6800f0000", "4981c6800f007f", 1), layout{}, false},
		"before the start": {strings.Replace(wideCode, "4981c6800f0000", "4981c600000000", 1), layout{}, false},
		"small trace":      {strings.Replace(wideCode, "488b4058", "488b4004", 1), layout{}, false},
		"nothing":          {"", layout{}, false},
	} {
		if got, ok := findLayout(unhex(t, c.code)); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, got, ok, c.want, c.ok)
		}
	}
}

func TestMachineBounds(t *testing.T) {
	t.Parallel()
	record := func(start, size uint32, middle []byte) []byte {
		var b []byte
		for _, v := range []uint32{24, 0x20, start, size} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return append(append(append(b, 0), wholeFrame...), middle...)
	}
	other := []byte{0x18, 0, 0, 0, 1, 2, 3}
	for name, c := range map[string]struct {
		b           []byte
		start, size uint64
	}{
		"right":        {record(0xfffff000, 0x4000, nil), 0x10008 + 0xfffff000 - 1<<32, 0x4000},
		"behind other": {append(other, record(0x1000, 0x4045, other)...), 0x11008 + 7, 0x4045},
		"too small":    {record(0x1000, 0x40, nil), 0, 0},
		"too large":    {record(0x1000, 0x40000001, nil), 0, 0},
		"second":       {append(record(0x1000, 0x40, nil), record(0x1000, 0x4000, nil)...), 0x11008 + 27, 0x4000},
		"cut":          {record(0x1000, 0x4000, nil)[10:], 0, 0},
		"nothing":      {nil, 0, 0},
	} {
		if start, size := machineBounds(c.b, wholeFrame, 0x10000); start != c.start || size != c.size {
			t.Errorf("%s: 0x%x, %d, want 0x%x, %d", name, start, size, c.start, c.size)
		}
	}
}

// TestFindLayoutARM64 reads JLOOP of Debian 12's.
func TestFindLayoutARM64(t *testing.T) {
	t.Parallel()
	const loop = "c02242f9 01008052 1c787cf8 c1ba00b9 9b2f40f9 d3be00f9"
	for name, c := range map[string]struct {
		code string
		want layout
		ok   bool
	}{
		"Debian 12":   {"1f2003d5" + loop + "d77200f9", layout{true, 376, 184, 1088, 72}, true},
		"no compiler": {"1f2003d5", layout{wide: true}, true},
		"no vmstate":  {strings.Replace(loop, "c1ba00b9", "c10200b9", 1), layout{true, 376, 0, 1088, 72}, false},
		"small trace": {strings.Replace(loop, "9b2f40f9", "9b0340f9", 1), layout{}, false},
		"cut":         {loop[:len(loop)-2], layout{wide: true}, true},
	} {
		if got, ok := findLayoutARM64(unhex(t, c.code)); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, got, ok, c.want, c.ok)
		}
	}
}

func FuzzFindLayoutARM64(f *testing.F) {
	f.Add(unhex(f, "c02242f9 01008052 1c787cf8 c1ba00b9 9b2f40f9 d3be00f9"))
	f.Fuzz(func(t *testing.T, code []byte) {
		if l, ok := findLayoutARM64(code); ok && (l.jitBase < 0 || l.vmstate < 0 || l.traces < 0) {
			t.Errorf("%+v", l)
		}
		if _, size := machineBounds(code, wholeFrameARM64, 0x1000); size > maxMachine {
			t.Errorf("%d bytes of code", size)
		}
	})
}

func FuzzFindLayout(f *testing.F) {
	f.Add(unhex(f, wideCode))
	f.Add(unhex(f, narrowCode))
	f.Fuzz(func(t *testing.T, code []byte) {
		l, ok := findLayout(code)
		if ok && (l.jitBase < 0 || l.vmstate < 0 || l.traces < 0) {
			t.Errorf("%+v", l)
		}
		if _, size := machineBounds(code, wholeFrame, 0x1000); size > maxMachine {
			t.Errorf("%d bytes of code", size)
		}
	})
}

// TestHost reads the luajit of the host.
func TestHost(t *testing.T) {
	t.Parallel()
	file, err := exec.LookPath("luajit")
	if err != nil {
		skip.Because(t, "needs luajit")
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		t.Fatal(err)
	}
	b, err := Runtime{}.Detect(&interpreter.Executable{Path: file, Open: func() (*pfelf.File, error) { return pfelf.Open(file) }})
	if err != nil {
		t.Fatal(err)
	}
	if b == nil {
		skip.Because(t, "needs a luajit without libluajit")
	}
	if r := b.Ranges(); !strings.HasPrefix(b.Version(), "2.1") || len(r) != 1 || r[0].End-r[0].Start < minMachine {
		t.Errorf("version %s, ranges %+v", b.Version(), r)
	}
	own := &interpreter.Executable{Path: "/proc/self/exe", Open: func() (*pfelf.File, error) { return pfelf.Open("/proc/self/exe") }}
	if b, err := (Runtime{}).Detect(own); b != nil || err != nil {
		t.Errorf("a test is taken for LuaJIT: %v, %v", b, err)
	}
}
