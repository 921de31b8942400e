// SPDX-License-Identifier: Apache-2.0

package php

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const codeAt = 0x1000

// elfFile makes an ELF file for x86-64 with code at an address and a table of
// functions, as start and size.
func elfFile(t testing.TB, code []byte, functions ...[2]uint32) *pfelf.File {
	t.Helper()
	le := binary.LittleEndian
	const tableAt = 0x100000
	var table, entries []byte
	head := 12 + 8*len(functions)
	for i, f := range functions {
		entry := tableAt + head + 16*i
		table = le.AppendUint32(table, codeAt+f[0]-tableAt)
		table = le.AppendUint32(table, uint32(entry-tableAt))
		entries = le.AppendUint32(entries, 12)
		entries = le.AppendUint32(entries, 4)
		entries = le.AppendUint32(entries, codeAt+f[0]-uint32(entry+8))
		entries = le.AppendUint32(entries, f[1])
	}
	hdr := append([]byte{1, 0x1b, 3, 0x3b, 0, 0, 0, 0}, 0, 0, 0, 0)
	le.PutUint32(hdr[8:], uint32(len(functions)))
	frames := append(append(hdr, table...), entries...)

	b := make([]byte, 64+3*56)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 3)
	le.PutUint16(b[18:], 62)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 3)
	segment := func(i int, typ, flags uint32, off int, vaddr uint64, size int) {
		p := b[64+56*i:]
		le.PutUint32(p, typ)
		le.PutUint32(p[4:], flags)
		le.PutUint64(p[8:], uint64(off))
		le.PutUint64(p[16:], vaddr)
		le.PutUint64(p[32:], uint64(size))
		le.PutUint64(p[40:], uint64(size))
	}
	off := len(b)
	segment(0, 1, 5, off, codeAt, len(code))
	segment(1, 1, 4, off+len(code), tableAt, len(frames))
	segment(2, 0x6474e550, 4, off+len(code), tableAt, len(frames))
	b = append(append(b, code...), frames...)
	f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPrologue(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code []byte
		want prologue
		ok   bool
	}{
		"pushes": { // push r13, r12, rbp, rbx; sub rsp, 0x78
			[]byte{0x41, 0x55, 0x41, 0x54, 0x55, 0x53, 0x48, 0x83, 0xec, 0x78, 0xff, 0x27},
			prologue{codeAt + 10, 4*8 + 0x78, false}, true},
		"frame pointer": { // endbr64; push rbp; mov rbp, rsp; push r13; sub rsp, 0xa8
			[]byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x41, 0x55, 0x48, 0x81, 0xec, 0xa8, 0, 0, 0},
			prologue{codeAt + 17, 2*8 + 0xa8, true}, true},
		"aligned": { // push rbp; and rsp, -32
			[]byte{0x55, 0x48, 0x83, 0xe4, 0xe0, 0x48, 0x83, 0xec, 0x20}, prologue{0, 8, false}, false},
		"none":      {[]byte{0xc3}, prologue{}, false},
		"truncated": {[]byte{0x55, 0x48, 0x81, 0xec}, prologue{0, 8, false}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img, err := newImage(elfFile(t, tt.code))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := img.prologue(span{codeAt, codeAt + uint64(len(tt.code))})
			if ok != tt.ok {
				t.Fatalf("got %v", ok)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(prologue{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestColdParts(t *testing.T) {
	t.Parallel()
	code := bytes.Repeat([]byte{0x90}, 0x200)
	copy(code, []byte{0x0f, 0x84, 0xfa, 0x00, 0x00, 0x00})      // je 0x100
	copy(code[6:], []byte{0x0f, 0x85, 0x14, 0x00, 0x00, 0x00})  // jne 0x20, within
	copy(code[12:], []byte{0xe8, 0x6f, 0x01, 0x00, 0x00})       // call 0x180
	copy(code[17:], []byte{0x0f, 0x84, 0xff, 0xff, 0xff, 0x7f}) // je to nowhere
	img, err := newImage(elfFile(t, code, [2]uint32{0, 0x40}, [2]uint32{0xf0, 0x40}, [2]uint32{0x180, 0x10}))
	if err != nil {
		t.Fatal(err)
	}
	loop, ok := img.frameAt(codeAt + 0x3f)
	if want := (span{codeAt, codeAt + 0x40}); !ok || loop != want {
		t.Fatalf("got %v %v, want %v", loop, ok, want)
	}
	if _, ok := img.frameAt(codeAt + 0x40); ok {
		t.Error("a gap is a function")
	}
	got := img.coldParts(loop)
	if len(got) != 1 || got[0] != (span{codeAt + 0xf0, codeAt + 0x130}) {
		t.Errorf("got %x", got)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"8.2.35\x00": "8.2.35", "7.4.33-1+deb11u5": "7.4.33", "8.5.0RC1": "8.5.0", "8.2": "", "": "", "8.x.1": "", "8.2.": "", "1234.5.6": "",
	} {
		v, ok := parseVersion([]byte(in))
		if ok != (want != "") || ok && v.String() != want {
			t.Errorf("%q: got %v %v, want %q", in, v, ok, want)
		}
	}
	if _, ok := layoutOf(version{5, 6, 40}); ok {
		t.Error("PHP 5.6 has a layout")
	}
}

// TestDetect reads the PHP that the host has.
func TestDetect(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("php")
	if err != nil {
		skip.Because(t, "needs php")
	}
	detect := func(path string) (interpreter.Binary, error) {
		return Runtime{}.Detect(&interpreter.Executable{Path: path, Open: func() (*pfelf.File, error) { return pfelf.Open(path) }})
	}
	b, err := detect(path)
	if err != nil || b == nil {
		t.Fatalf("not recognised: %v", err)
	}
	p := b.(*program) //nolint:forcetypeassert // as made by this package
	if !p.hybrid || p.prologue.returnAddress < 48 || p.currentCall != p.layout.currentCall || len(p.ranges) < 2 {
		t.Errorf("understood as %+v", p)
	}
	if p.layout.fiberCaller != 0 && p.fiberRegisters != fiberRegisters {
		t.Errorf("a switch of fibers saves %d bytes", p.fiberRegisters)
	}
	if sh, err := exec.LookPath("sh"); err == nil {
		if b, err := detect(sh); b != nil || err != nil {
			t.Errorf("the shell is PHP: %v %v", b, err)
		}
	}
}

func FuzzImage(f *testing.F) {
	f.Add([]byte{0x41, 0x55, 0x41, 0x54, 0x55, 0x53, 0x48, 0x83, 0xec, 0x78, 0xff, 0x27}, uint32(0), uint32(12))
	f.Fuzz(func(t *testing.T, code []byte, start, size uint32) {
		if len(code) == 0 || len(code) > 4096 {
			return
		}
		img, err := newImage(elfFile(t, code, [2]uint32{start, size}, [2]uint32{start / 2, size}))
		if err != nil {
			t.Fatal(err)
		}
		all := span{codeAt, codeAt + uint64(len(code))}
		if got := img.coldParts(all); len(got) > maxColdParts {
			t.Errorf("%d cold parts", len(got))
		}
		if p, ok := img.prologue(all); ok && !(p.end > all.start && p.end <= all.end) {
			t.Errorf("prologue to 0x%x", p.end)
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add([]byte("8.2.35"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, ok := parseVersion(b); ok && (v.major > 999 || v.minor > 999 || v.patch > 999) {
			t.Error(v)
		}
	})
}
