// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]version{"3.1.2": 301, "4.0.0": 400, "2.7.4": 207, "3.10.1": 310} {
		if v, ok := parseVersion(s); !ok || v != want {
			t.Errorf("%s is %d, %v", s, v, ok)
		}
	}
	for _, s := range []string{"", "3", "a.b", "3.x.1", "-1.2", "100.1"} {
		if v, ok := parseVersion(s); ok {
			t.Errorf("%q is %d", s, v)
		}
	}
}

// Calls of methods in C as in Debian's libraries, and what looks like one.
func TestCallsOfC(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code []byte
		want int
	}{
		"r8":             {[]byte{0x49, 0x8b, 0x48, 0x08, 0x4c, 0x89, 0xda, 0x44, 0x89, 0xce, 0x4c, 0x89, 0xf7, 0x41, 0xff, 0x50, 0x10, 0, 0}, 17},
		"r12":            {[]byte{0x49, 0x8b, 0x4c, 0x24, 0x08, 0x90, 0x41, 0xff, 0x54, 0x24, 0x10, 0, 0}, 11},
		"first argument": {[]byte{0x48, 0x8b, 0x78, 0x08, 0x90, 0xff, 0x50, 0x10, 0, 0}, 8},
		"other register": {[]byte{0x48, 0x8b, 0x4b, 0x08, 0x90, 0xff, 0x50, 0x10, 0, 0}, 0},
		"other member":   {[]byte{0x48, 0x8b, 0x48, 0x10, 0x90, 0xff, 0x50, 0x10, 0, 0}, 0},
		"on the stack":   {[]byte{0x48, 0x8b, 0x4c, 0x24, 0x08, 0x90, 0xff, 0x54, 0x24, 0x10, 0, 0}, 0},
		"cut":            {[]byte{0x48, 0x8b, 0x48, 0x08, 0x90, 0xff, 0x50}, 0},
	} {
		got := 0
		for i := 1; i+2 < len(c.code); i++ {
			if c.code[i] == 0xff {
				if n := callThrough(c.code, i); n > 0 {
					got = i + n
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: return address is at %d, want %d", name, got, c.want)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	f := emptyFile(t)
	pad := bytes.Repeat([]byte{0x90}, 16)
	for name, c := range map[string]struct {
		code []byte
		want context
	}{
		"local exec": {[]byte{0x64, 0x48, 0x8b, 0x04, 0x25, 0xf0, 0xff, 0xff, 0xff}, context{kind: contextOffset, value: ^uint64(15)}},
		"initial exec": {
			[]byte{0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0x64, 0x48, 0x8b, 0x00},
			context{kind: contextOffsetSlot, slot: 0x1000 + 7 + 0x10},
		},
		"descriptor": {
			[]byte{0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0xff, 0x10, 0x64, 0x48, 0x8b, 0x00},
			context{kind: contextDescriptor, slot: 0x1000 + 7 + 0x10},
		},
		"stack protector": {[]byte{0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0}, context{}},
		"nothing":         {nil, context{}},
	} {
		got, err := accessIn(f, append(c.code, pad...), 0x1000)
		if got != c.want || (err == nil) != (c.want.kind != contextNone) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if d, ok := loadAfterCall([]byte{0x66, 0x66, 0x48, 0xe8, 1, 2, 3, 4, 0x48, 0x8b, 0x40, 0x08, 0, 0, 0}); !ok || d != 8 {
		t.Errorf("load after a call: %d, %v", d, ok)
	}
	if at, ok := keyIn([]byte{0x48, 0x83, 0xec, 8, 0x8b, 0x3d, 0x10, 0, 0, 0, 0xe8, 0, 0, 0, 0}, 0x2000); !ok || at != 0x2000+4+6+0x10 {
		t.Errorf("key is at 0x%x, %v", at, ok)
	}
}

// emptyFile returns a file that has nothing but a header.
func emptyFile(t testing.TB) *pfelf.File {
	t.Helper()
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20], b[52] = 3, 62, 1, 64 // a library, x86-64, version, size
	f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fdeTable makes the table of .eh_frame_hdr for functions at offsets from it.
func fdeTable(starts ...int32) []byte {
	b := []byte{1, 0x1b, 3, 0x3b, 0, 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(starts))) //nolint:gosec // small
	for _, s := range starts {
		b = binary.LittleEndian.AppendUint32(b, uint32(s)) //nolint:gosec // signed
		b = binary.LittleEndian.AppendUint32(b, 0)
	}
	return b
}

func TestFDEs(t *testing.T) {
	t.Parallel()
	fdes, err := parseFDEs(fdeTable(-0x500, -0x400, -0x400, -0x100), 0x1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[uint64]span{0xb00: {0xb00, 0xc00}, 0xbff: {0xb00, 0xc00}, 0xc00: {0xc00, 0xf00}, 0xaff: {}, 0xf00: {}} {
		if got, _ := fdeAt(fdes, at); got != want {
			t.Errorf("function at 0x%x is %x, want %x", at, got, want)
		}
	}
	for _, b := range [][]byte{nil, {1}, fdeTable(), bytes.Repeat([]byte{1}, 100)} {
		if _, err := parseFDEs(b, 0, nil); err == nil {
			t.Errorf("%x is accepted", b)
		}
	}
}

func TestDescriptor(t *testing.T) {
	t.Parallel()
	m := newImage(301)
	at := m.words(0x1234, ^uint64(7))
	var r bpfRubyProcess
	c := context{kind: contextDescriptor, slot: at}
	if err := c.record(&r, m.view(), 0); err != nil || r.Kind != ecStatic || r.Ec != -8 {
		t.Errorf("static descriptor: %+v, %v", r, err)
	}
	for name, c := range map[string]context{
		"empty descriptor": {kind: contextDescriptor, slot: m.words(0, 0)},
		"empty slot":       {kind: contextModule, slot: m.words(0)},
		"nothing there":    {kind: contextOffsetSlot, slot: 0x5000},
		"no lock yet":      {kind: contextKey, value: m.words(0), slot: m.words(0)},
	} {
		if err := c.record(&r, m.view(), 0); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// FuzzDetect looks for the interpreter in what is hardly a file.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("\x7fELF"), fdeTable(-3, 5), uint64(0x1000))
	empty := emptyFile(f)
	f.Fuzz(func(_ *testing.T, elf, code []byte, at uint64) {
		if file, err := pfelf.NewFile(bytes.NewReader(elf), int64(len(elf))); err == nil {
			_, _ = findCode(file)
			_, _ = findContext(file, firstThreadLocal)
			_, _ = findContext(file, firstVersion)
			_, _ = detect(file, pfelf.Symbol{Value: at})
		}
		_, _ = parseFDEs(code, at, nil)
		_, _ = accessIn(empty, code, at)
		_, _ = keyIn(code, at)
		_, _ = loadAfterCall(code)
		for i := 1; i+2 < len(code); i++ {
			_ = callThrough(code, i)
		}
	})
}
