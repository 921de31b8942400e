// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"bytes"
	"encoding/binary"
	"maps"
	"regexp"
	"strconv"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Executables that V8 is linked into without symbols. Those of distributions have its
// version and its table of constants all the same, as Node.js exports these; those that
// are built on the crate that wraps V8 for Rust, of which Deno is one, have neither.
// What must be known is found by its content:
//
// - the version, a string that ends in the crate's mark;
// - the table that tells a builtin by an address, in the metadata of the builtins since
//   V8 12: where each ends. With it the code is found: at the page in which padding
//   ends where the table says;
// - the lengths of bytecodes, whose first ones never change.

// embedderSymbol is exported by everything that runs extensions made for Node.js.
const embedderSymbol = "napi_create_function"

// rustMark is how the crate marks its version of V8.
const rustMark = "-rusty"

// rustVersion is what is in front of the mark, at most maxVersion bytes.
var rustVersion = regexp.MustCompile(`(\d{1,3})\.(\d{1,3})\.(\d{1,5})\.\d{1,5}$`)

const maxVersion = 24

// Bounds on what is searched.
const (
	maxReadOnlyData  = 256 << 20
	readOnlyChunk    = 1 << 20
	chunkOverlap     = 1 << 10
	minBuiltins      = 1000
	maxBuiltins      = 8192
	builtinsAlign    = 4096
	builtinAlign     = 32
	builtinsSample   = 256     // ends of builtins that are looked at
	maxBuiltinsReads = 1 << 19 // in all; Deno takes some 40,000
	codePadding      = 0xcc
	maxBytecodeTable = 256
)

// embedded is what is known of V8 in an executable; what is not is zero.
type embedded struct {
	version  version
	builtins interpreter.Range
	sizes    bytecodeSizes
}

// complete reports whether nothing is left to be searched.
func (e *embedded) complete() bool {
	return e.version.major != 0 && e.builtins.End != 0 && e.sizes[0] != nil
}

// search looks for what is not known yet by its content. An executable whose
// version is not found either is not V8.
func (e *embedded) search(f *pfelf.File) {
	s := f.FindSection(".rodata")
	if s == nil || s.FileSize > maxReadOnlyData {
		return
	}
	var tables lookupFinder
	buffer := make([]byte, readOnlyChunk+chunkOverlap)
	for off := uint64(0); off < s.FileSize; off += readOnlyChunk {
		b := buffer[:min(uint64(len(buffer)), s.FileSize-off)]
		if n, _ := f.ReadAt(b, int64(s.Offset+off)); n != len(b) { //nolint:gosec // inside of a file, or an error
			return
		}
		if e.version.major == 0 {
			e.version = findVersion(b)
		}
		if e.sizes[0] == nil {
			e.sizes, _ = findBytecodeSizes(b)
		}
		if e.builtins.End == 0 {
			tables.add(b[:min(readOnlyChunk, len(b))])
		}
	}
	tables.end()
	if e.version.major != 0 && e.builtins.End == 0 {
		e.builtins, _ = findBuiltinsCode(f, tables.found)
	}
}

func findVersion(b []byte) (v version) {
	for at := 0; ; at += len(rustMark) {
		i := bytes.Index(b[at:], []byte(rustMark))
		if i < 0 {
			return version{}
		}
		at += i
		m := rustVersion.FindSubmatch(b[max(at-maxVersion, 0):at])
		if m == nil {
			continue
		}
		for i, field := range []*uint32{&v.major, &v.minor, &v.build} {
			n, _ := strconv.ParseUint(string(m[i+1]), 10, 32)
			*field = uint32(n) //nolint:gosec // of at most 5 digits
		}
		return v
	}
}

// firstSizes are the lengths of the first bytecodes: two prefixes, their forms
// for debuggers, and breakpoints for bytecodes of 1 to 5 bytes.
var firstSizes = [3]string{
	"\x01\x01\x01\x01\x01\x02\x03\x04\x05",
	"\x01\x01\x01\x01\x01\x03\x05\x07\x09",
	"\x01\x01\x01\x01\x01\x05\x09\x0d",
}

func findBytecodeSizes(b []byte) (out bytecodeSizes, ok bool) {
	has := func(at int, s string) bool { return at+len(s) <= len(b) && string(b[at:at+len(s)]) == s }
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(firstSizes[0]))
		if i < 0 {
			return out, false
		}
		at += i
		for n := 64; n <= maxBytecodeTable; n++ {
			if has(at+n, firstSizes[1]) && has(at+2*n, firstSizes[2]) && at+3*n <= len(b) {
				for i := range out {
					out[i] = append([]byte(nil), b[at+i*n:at+(i+1)*n]...)
				}
				return out, true
			}
		}
	}
}

// lookupFinder finds tables of pairs: where a builtin's code ends, which grows,
// and its number.
type lookupFinder struct {
	runs  [2][]uint32 // ends; tables may begin at any multiple of 4
	last  uint32      // the word before, and whether there is one
	words int
	found [][]uint32
}

// maxLookups is how many tables are kept.
const maxLookups = 8

// add looks at the next bytes, a multiple of 4 unless they are the last.
func (l *lookupFinder) add(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		w := binary.LittleEndian.Uint32(b)
		if l.words > 0 {
			l.pair(l.words&1, l.last, w)
		}
		l.last = w
		l.words++
	}
}

func (l *lookupFinder) pair(phase int, end, number uint32) {
	run := l.runs[phase]
	valid := end != 0 && end%builtinAlign == 0 && end < maxBuiltinsSize && number < maxBuiltins
	if valid && len(run) < maxBuiltins && (len(run) == 0 || end > run[len(run)-1]) {
		l.runs[phase] = append(run, end)
		return
	}
	l.finish(phase)
	if valid {
		l.runs[phase] = append(l.runs[phase], end)
	}
}

func (l *lookupFinder) finish(phase int) {
	run := l.runs[phase]
	if len(run) >= minBuiltins && len(l.found) < maxLookups {
		l.found = append(l.found, append([]uint32(nil), run...))
	}
	l.runs[phase] = run[:0]
}

func (l *lookupFinder) end() {
	for i := range l.runs {
		l.finish(i)
	}
}

// findBuiltinsCode returns the part of an executable where code ends as one of
// the tables says.
func findBuiltinsCode(f *pfelf.File, tables [][]uint32) (interpreter.Range, bool) {
	reads := maxBuiltinsReads // a file with holes has segments of any size at no cost
	for _, ends := range tables {
		size := uint64(ends[len(ends)-1])
		for _, s := range f.ExecSegments() {
			// Pages of addresses are those of the process.
			skip := -s.Vaddr & (builtinsAlign - 1)
			for at := skip; at < s.Filesz && size <= s.Filesz-at && reads > 0; at += builtinsAlign {
				if isBuiltins(f, s.Offset+at, ends, &reads) {
					return interpreter.Range{Start: s.Offset + at, End: s.Offset + at + size}, true
				}
			}
		}
	}
	return interpreter.Range{}, false
}

// isBuiltins reports whether code at an offset is padded where builtins end. Some
// fill their place. It takes from reads what it reads.
func isBuiltins(f *pfelf.File, off uint64, ends []uint32, reads *int) bool {
	step := max(len(ends)/builtinsSample, 1)
	padded, looked := 0, 0
	for i := 0; i < len(ends); i += step {
		var b [1]byte
		if n, _ := f.ReadAt(b[:], int64(off)+int64(ends[i])-1); n != 1 { //nolint:gosec // inside of a file
			return false
		}
		*reads--
		looked++
		if b[0] == codePadding {
			padded++
		}
		if padded+4 < looked*7/8 {
			return false
		}
	}
	return true
}

// nearestConstants returns what V8's table of constants says in the nearest older
// version that is known, without the types: those differ from build to build
// and are found in the process.
func nearestConstants(v version) (map[string]int32, bool) {
	if v.less(12, 9, 0) || v.major > maxEmbeddedMajor {
		return nil, false
	}
	c := map[string]int32{
		"CodeKindBaseline": 10, "CodeKindFieldMask": 15,
		"class_BytecodeArray__data__uintptr_t":                                   64,
		"class_BytecodeArray__wrapper__Tagged_BytecodeWrapper_":                  16,
		"class_Code__flags__uint32_t":                                            48,
		"class_Code__instruction_size__int":                                      52,
		"class_Code__instruction_start__Address":                                 40,
		"class_Code__wrapper__Tagged_CodeWrapper_":                               24,
		"class_InstructionStream__instruction_start__uintptr_t":                  32,
		"class_JSFunction__shared__SharedFunctionInfo":                           32,
		"class_Map__instance_type__uint16_t":                                     12,
		"class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_": 24,
		"class_SharedFunctionInfo__script__Tagged_HeapObject_":                   40,
		"off_fp_bytecode_array":                                                  -32, "off_fp_bytecode_offset": -40,
		"scopeinfo_idx_first_vars": 5,
		"FirstNonstringType":       128,
		// That there is such a type; its number is found too.
		"type_InstructionStream__INSTRUCTION_STREAM_TYPE": 191,
		// Wider than they are in any version: nothing else is where a frame has its
		// function.
		"FirstJSFunctionType": 2056, "LastJSFunctionType": 2096,
		"frametype_WasmFrame": 4, "frametype_StubFrame": 17, "frametype_IrregexpFrame": 30,
		"frametype_TurbofanStubWithContextFrame": 18,
	}
	if !v.less(13, 6, 0) {
		maps.Copy(c, map[string]int32{
			"DeoptimizationDataInliningPositionsIndex": 8, "DeoptimizationDataLiteralArrayIndex": 3,
			"DeoptimizationDataWrappedSharedFunctionInfoIndex": 7,
			"class_Code__flags__uint32_t":                      52, "class_Code__instruction_size__int": 56,
			"frametype_StubFrame": 18, "frametype_IrregexpFrame": 31, "frametype_TurbofanStubWithContextFrame": 19,
		})
	}
	if !v.less(14, 6, 0) {
		maps.Copy(c, map[string]int32{
			"CodeKindBaseline":    11,
			"frametype_WasmFrame": 24, "frametype_StubFrame": 8, "frametype_IrregexpFrame": 23,
			"frametype_TurbofanStubWithContextFrame": 9,
		})
	}
	return c, true
}

// maxEmbeddedMajor is the last version of V8 whose layout is known.
const maxEmbeddedMajor = 15
