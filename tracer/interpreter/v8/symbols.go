// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// constantPrefix begins the names of the variables that V8 builds in for
// debuggers: each is an int that says how V8's structures are laid out.
const constantPrefix = "v8dbg_"

// maxConstants bounds how many of them are read; V8 has some 700.
const maxConstants = 4096

const bytecodeSizesSymbol = "_ZN2v88internal11interpreter9Bytecodes14kBytecodeSizesE"

// wanted are the symbols that are looked for beside the constants.
var wanted = []string{
	versionSymbol, "_ZN2v88internal7Version6minor_E", "_ZN2v88internal7Version6build_E",
	bytecodeSizesSymbol,
	// The builtins: since V8 11 the code itself, before that a pointer to it; up
	// to 8.x code and metadata are one.
	"v8_Default_embedded_blob_code_", "v8_Default_embedded_blob_code_data_", "v8_Default_embedded_blob_code_size_",
	"v8_Default_embedded_blob_", "v8_Default_embedded_blob_data_", "v8_Default_embedded_blob_size_",
	// Functions that return them, which are exported where they are not.
	"_ZN2v88internal23DefaultEmbeddedBlobCodeEv", "_ZN2v88internal27DefaultEmbeddedBlobCodeSizeEv",
	"_ZN2v88internal19DefaultEmbeddedBlobEv", "_ZN2v88internal23DefaultEmbeddedBlobSizeEv",
}

// symbols is what an executable says of its V8.
type symbols struct {
	version   version
	constants map[string]int32 // without the prefix
	at        map[string]pfelf.Symbol
}

func readSymbols(f *pfelf.File) (*symbols, error) {
	s := &symbols{constants: map[string]int32{}, at: map[string]pfelf.Symbol{}}
	names := map[string]bool{}
	for _, n := range wanted {
		names[n] = true
	}
	constants := map[string]uint64{}
	err := f.EachSymbol(func(name []byte, sym pfelf.Symbol) bool {
		switch {
		case len(name) > len(constantPrefix) && string(name[:len(constantPrefix)]) == constantPrefix:
			if len(constants) < maxConstants {
				constants[string(name[len(constantPrefix):])] = sym.Value
			}
		case names[string(name)]:
			s.at[string(name)] = sym
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for name, at := range constants {
		if v, ok := readInt(f, at); ok {
			s.constants[name] = v
		}
	}
	for i, field := range []*uint32{&s.version.major, &s.version.minor, &s.version.build} {
		if sym, ok := s.at[wanted[i]]; ok {
			v, _ := readInt(f, sym.Value)
			*field = uint32(v) //nolint:gosec // a version
		}
	}
	return s, nil
}

// readInt reads 4 bytes at a virtual address. Beyond a segment's content there
// are zeros.
func readInt(f *pfelf.File, at uint64) (int32, bool) {
	var b [4]byte
	n, _ := f.ReadVaddr(b[:], at)
	_, mapped := f.VaddrToOffset(at)
	return int32(binary.LittleEndian.Uint32(b[:])), n == 4 || mapped //nolint:gosec // as in the file
}

func readPointer(f *pfelf.File, at uint64) uint64 {
	var b [8]byte
	if n, _ := f.ReadVaddr(b[:], at); n != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}

// findBuiltins returns where the code of the builtins is.
func findBuiltins(f *pfelf.File, s *symbols) (interpreter.Range, bool) {
	var size uint64
	for _, name := range []string{"v8_Default_embedded_blob_code_size_", "v8_Default_embedded_blob_size_"} {
		if sym, ok := s.at[name]; ok && size == 0 {
			v, _ := readInt(f, sym.Value)
			size = uint64(uint32(v)) //nolint:gosec // a size
		}
	}
	for _, name := range []string{"_ZN2v88internal27DefaultEmbeddedBlobCodeSizeEv", "_ZN2v88internal23DefaultEmbeddedBlobSizeEv"} {
		if sym, ok := s.at[name]; ok && size == 0 {
			size = readAccessor(f, sym.Value) & 0xffffffff
		}
	}
	var starts []uint64
	for _, name := range []string{
		"v8_Default_embedded_blob_code_", "v8_Default_embedded_blob_code_data_",
		"v8_Default_embedded_blob_", "v8_Default_embedded_blob_data_",
	} {
		if sym, ok := s.at[name]; ok {
			starts = append(starts, sym.Value, readPointer(f, sym.Value))
		}
	}
	for _, name := range []string{"_ZN2v88internal23DefaultEmbeddedBlobCodeEv", "_ZN2v88internal19DefaultEmbeddedBlobEv"} {
		if sym, ok := s.at[name]; ok {
			starts = append(starts, readAccessor(f, sym.Value))
		}
	}
	for _, start := range starts {
		if r, ok := fileRange(f, start, size); ok {
			return r, true
		}
	}
	return interpreter.Range{}, false
}

// readAccessor returns what a function returns that does nothing but return a
// variable or its address, 0 if it is not like that. (x86-64 only.)
func readAccessor(f *pfelf.File, at uint64) uint64 {
	var b [24]byte
	n, _ := f.ReadVaddr(b[:], at)
	code := b[:n]
	pc := at
	skip := func(prefix string) {
		if rest, ok := bytes.CutPrefix(code, []byte(prefix)); ok {
			code, pc = rest, pc+uint64(len(prefix))
		}
	}
	skip("\xf3\x0f\x1e\xfa") // endbr64
	skip("\x55")             // push rbp
	skip("\x48\x89\xe5")     // mov rbp, rsp
	operand := func(opcode string) (uint32, uint64, bool) {
		if !strings.HasPrefix(string(code), opcode) || len(code) < len(opcode)+4 {
			return 0, 0, false
		}
		v := binary.LittleEndian.Uint32(code[len(opcode):])
		next := pc + uint64(len(opcode)) + 4
		return v, next + uint64(int64(int32(v))), true //nolint:gosec // a signed displacement
	}
	if v, _, ok := operand("\xb8"); ok { // mov eax, imm32
		return uint64(v)
	}
	if _, target, ok := operand("\x48\x8d\x05"); ok { // lea rax, [rip+d]
		return target
	}
	if _, target, ok := operand("\x48\x8b\x05"); ok { // mov rax, [rip+d]
		return readPointer(f, target)
	}
	if _, target, ok := operand("\x8b\x05"); ok { // mov eax, [rip+d]
		v, _ := readInt(f, target)
		return uint64(uint32(v)) //nolint:gosec // a size
	}
	return 0
}

// bytecodeSizes is the length of every bytecode, without its prefix, for each
// width of operands: 1, 2 and 4 bytes.
type bytecodeSizes [3][]byte

// maxBytecodes is how many there can be: they are numbered by a byte.
const maxBytecodes = 256

func readBytecodeSizes(f *pfelf.File, s *symbols) (out bytecodeSizes) {
	sym, ok := s.at[bytecodeSizesSymbol]
	if !ok || sym.Size == 0 || sym.Size > 3*4*maxBytecodes {
		return out
	}
	b := make([]byte, sym.Size)
	if n, _ := f.ReadVaddr(b, sym.Value); n != len(b) {
		return out
	}
	// Up to V8 9.x the elements are ints.
	if sym.Size > 3*maxBytecodes || len(b) >= 8 && b[1]|b[2]|b[3]|b[5]|b[6]|b[7] == 0 {
		for i := range len(b) / 4 {
			b[i] = b[4*i]
		}
		b = b[:len(b)/4]
	}
	n := len(b) / 3
	for i := range out {
		out[i] = b[i*n : (i+1)*n]
	}
	return out
}

// at returns the length in bytes of the bytecode at the start of code, with its
// prefix, 0 if it is none.
func (s *bytecodeSizes) at(code []byte) int {
	if len(code) == 0 {
		return 0
	}
	width, prefix := 0, 0
	switch code[0] {
	case 0, 2: // Wide, DebugBreakWide
		width, prefix = 1, 1
	case 1, 3: // ExtraWide, DebugBreakExtraWide
		width, prefix = 2, 1
	}
	if len(code) <= prefix || int(code[prefix]) >= len(s[width]) {
		return 0
	}
	return prefix + int(s[width][code[prefix]])
}
