// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"encoding/binary"

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

// Bounds on the size of the builtins. V8's have 1 to 2.5 MB.
const (
	minBuiltinsSize = 64 << 10
	maxBuiltinsSize = 64 << 20
)

// findBuiltins returns where the code of the builtins is, by the symbols of its
// variables or the functions that return them.
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
			v, _ := readAccessor(f, sym.Value)
			size = v & 0xffffffff
		}
	}
	if size < minBuiltinsSize || size > maxBuiltinsSize {
		return interpreter.Range{}, false
	}
	at := func(start uint64, ok bool) (interpreter.Range, bool) {
		if !ok || start%builtinAlign != 0 {
			return interpreter.Range{}, false
		}
		return fileRange(f, start, size)
	}
	for _, name := range []string{
		"v8_Default_embedded_blob_code_", "v8_Default_embedded_blob_code_data_",
		"v8_Default_embedded_blob_", "v8_Default_embedded_blob_data_",
	} {
		sym, ok := s.at[name]
		if !ok {
			continue
		}
		if r, ok := at(sym.Value, true); ok {
			return r, true
		}
		if r, ok := at(f.PointerAt(sym.Value)); ok {
			return r, true
		}
	}
	for _, name := range []string{"_ZN2v88internal23DefaultEmbeddedBlobCodeEv", "_ZN2v88internal19DefaultEmbeddedBlobEv"} {
		if sym, ok := s.at[name]; ok {
			if r, ok := at(readAccessor(f, sym.Value)); ok {
				return r, true
			}
		}
	}
	return interpreter.Range{}, false
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
	if len(code) <= prefix || int(code[prefix]) >= len(s[width]) { //nolint:gosec // there are three widths
		return 0
	}
	return prefix + int(s[width][code[prefix]]) //nolint:gosec // checked above
}
