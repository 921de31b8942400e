// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"errors"
	"slices"
)

// layout is where things are in V8's objects: offsets from an object's address,
// unless said otherwise, and numbers of types.
type layout struct {
	version version

	// Instance types.
	firstFunction, lastFunction uint16
	bytecodeArray, shared       uint16
	sharedWrapper               uint16 // 0: there is none
	scopeInfo, script, code     uint16
	instructionStream           uint16 // 0: a Code object holds its instructions itself
	interpreterData, fixedArray uint16
	byteArray, trustedByteArray uint16
	firstNonString              uint16

	// Lengths of arrays are 4 bytes, no small integers: since V8 14.9.
	plainLengths bool

	mapType        uint64
	functionShared uint64
	sharedName     uint64
	sharedScript   uint64

	// Offsets below the saved frame pointer.
	frameBytecode, frameOffset uint64

	scopeInfoSlots uint64 // its first slot, the flags
	scopeInfoVars  int    // slot of the first variable; the number of variables is in slot 2
	// Slots of its position in the script, 0: behind the variables and the name.
	scopeInfoStart int

	bytecodeData, bytecodePositions uint64

	// Of a Code object.
	codeDeopt, codePositions uint64
	codeStart                uint64 // address of the instructions; or where they begin
	codeFlags, codeSize      uint64
	streamStart              uint64 // where instructions begin in the object that holds them
	kindMask, kindBaseline   uint32

	// Elements of the deoptimization data.
	deoptInlined, deoptLiterals, deoptProtected int
	deoptShared, deoptPositions                 int

	markers  markers
	encoding encoding // of source position tables, as far as the version tells
}

// Layouts that have not changed, or not within the versions that are supported.
const (
	pointerSize     = 8
	arrayLength     = 8 // of any kind of fixed array
	arrayData       = 16
	stringLength    = 12
	stringData      = 16
	consFirst       = 16
	consSecond      = 24
	slicedParent    = 16
	slicedOffset    = 24
	thinActual      = 16
	externalData    = 24 // of an external string: the resource, then its characters
	scriptSource    = 8
	scriptName      = 16
	scriptLine      = 24 // of the first line, in what the script was part of
	scriptLineEnds  = 56
	wrapperShared   = 8
	interpreterCode = 8 // of InterpreterData, the bytecode
	sharedData      = 8 // of a SharedFunctionInfo: what runs it
	sharedVariables = 2 // slot of ScopeInfo: how many variables it lists
)

// Bits of a string's type.
const (
	stringShape    = 7
	shapeSeq       = 0
	shapeCons      = 1
	shapeExternal  = 2
	shapeSliced    = 3
	shapeThin      = 5
	stringOneByte  = 8
	stringUncached = 16 // an external string that does not keep the address of its characters
)

var (
	errLayout      = errors.New("layout of its objects is not known")
	errNoConstants = errors.New("built without the table of constants for debuggers")
)

// newLayout works out the layout from V8's table of constants.
func newLayout(v version, c map[string]int32) (*layout, error) {
	if len(c) == 0 {
		return nil, errNoConstants
	}
	l, err := layoutOf(v, c)
	if err != nil {
		return nil, err
	}
	if slices.Contains([]uint16{
		l.firstFunction, l.bytecodeArray, l.shared, l.scopeInfo, l.script, l.code, l.fixedArray, l.byteArray, l.firstNonString,
	}, 0) {
		return nil, errLayout
	}
	return l, nil
}

// layoutOf does the same; types may be missing.
func layoutOf(v version, c map[string]int32) (*layout, error) {
	l := &layout{version: v}
	r := constants{c: c}

	l.firstFunction = r.typ("FirstJSFunctionType", "type_JSFunction__JS_FUNCTION_TYPE")
	l.lastFunction = r.typ("LastJSFunctionType")
	if l.lastFunction == 0 {
		// Before V8 9.0.14 the type had no subtypes, after that up to 16.
		l.lastFunction = l.firstFunction
		if !v.less(9, 0, 14) {
			l.lastFunction += 16
		}
	}
	l.bytecodeArray = r.typ("type_BytecodeArray__BYTECODE_ARRAY_TYPE")
	l.shared = r.typ("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE")
	l.sharedWrapper = r.typ("type_SharedFunctionInfoWrapper__SHARED_FUNCTION_INFO_WRAPPER_TYPE")
	l.scopeInfo = r.typ("type_ScopeInfo__SCOPE_INFO_TYPE")
	l.script = r.typ("type_Script__SCRIPT_TYPE")
	l.code = r.typ("type_Code__CODE_TYPE")
	l.instructionStream = r.typ("type_InstructionStream__INSTRUCTION_STREAM_TYPE")
	l.interpreterData = r.typ("type_InterpreterData__INTERPRETER_DATA_TYPE")
	l.fixedArray = r.typ("type_FixedArray__FIXED_ARRAY_TYPE")
	l.byteArray = r.typ("type_ByteArray__BYTE_ARRAY_TYPE")
	l.trustedByteArray = r.typ("type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE")
	l.firstNonString = r.typ("FirstNonstringType")

	l.mapType = r.offset("class_Map__instance_type__uint16_t")
	l.functionShared = r.offset("class_JSFunction__shared__SharedFunctionInfo")
	l.sharedName = r.offset("class_SharedFunctionInfo__name_or_scope_info__Object",
		"class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_",
		"class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_")
	l.sharedScript = r.offset("class_SharedFunctionInfo__script_or_debug_info__HeapObject",
		"class_SharedFunctionInfo__script_or_debug_info__Object",
		"class_SharedFunctionInfo__script__Tagged_HeapObject_")

	l.frameBytecode, l.frameOffset = uint64(-r.value("off_fp_bytecode_array")), uint64(-r.value("off_fp_bytecode_offset")) //nolint:gosec // checked below
	if l.frameBytecode == 0 {
		// Before V8 8.7.198 nothing was in between.
		l.frameBytecode = 32
		if v.less(8, 7, 198) {
			l.frameBytecode = 24
		}
		l.frameOffset = l.frameBytecode + 8
	}

	// Before V8 9.1.71 it was a FixedArray.
	l.scopeInfoSlots = 8
	if v.less(9, 1, 71) {
		l.scopeInfoSlots = arrayData
	}
	l.scopeInfoVars = int(r.value("scopeinfo_idx_first_vars"))
	if !v.less(12, 8, 44) {
		l.scopeInfoStart = 3
		l.scopeInfoVars = max(l.scopeInfoVars, 5)
	}

	l.bytecodeData = r.offset("class_BytecodeArray__data__uintptr_t")
	if l.bytecodeData == 0 {
		l.bytecodeData = 54
	}
	l.bytecodePositions = 32
	if r.value("class_BytecodeArray__wrapper__Tagged_BytecodeWrapper_") != 0 {
		l.bytecodePositions = 24
	}
	l.codeLayout(&r)
	l.deoptLayout(&r)
	l.markers = newMarkers(c)
	l.plainLengths = !v.less(14, 9, 0)
	if !v.less(13, 7, 0) {
		l.encoding = encodingFlags
	}

	for _, o := range []uint64{l.mapType, l.functionShared, l.sharedName, l.sharedScript, l.frameBytecode, l.frameOffset} {
		if o == 0 || o > 128 {
			return nil, errLayout
		}
	}
	for _, o := range []uint64{l.codeDeopt, l.codePositions, l.codeStart, l.codeFlags, l.codeSize, l.streamStart, l.bytecodeData} {
		if o == 0 || o > 256 {
			return nil, errLayout
		}
	}
	for _, i := range []int{l.deoptInlined, l.deoptLiterals, l.deoptShared, l.deoptPositions, l.scopeInfoVars} {
		if i <= 0 || i > 64 {
			return nil, errLayout
		}
	}
	return l, nil
}

// codeLayout works out where things are in Code objects.
func (l *layout) codeLayout(r *constants) {
	v := l.version
	if l.instructionStream == 0 {
		// Up to V8 10 a Code object is header and instructions.
		l.codeStart = r.offset("class_Code__instruction_start__uintptr_t")
		l.codeSize = r.offset("class_Code__instruction_size__int")
		l.codeDeopt, l.codePositions = l.codeSize-24, l.codeSize-16
		l.codeFlags = l.codeSize + 8
		if v.less(8, 8, 172) {
			l.codeFlags = l.codeSize + 4
		}
		l.streamStart = l.codeStart
	} else {
		l.streamStart = r.offset("class_InstructionStream__instruction_start__uintptr_t")
		l.codeStart = r.offset("class_Code__instruction_start__Address")
		if l.codeStart == 0 {
			l.codeStart = 40
		}
		l.codeDeopt, l.codePositions = 8, 16
		if r.value("class_Code__wrapper__Tagged_CodeWrapper_") == 0 {
			l.codeDeopt, l.codePositions = l.codeStart-24, l.codeStart-16
		}
		l.codeFlags = r.offset("class_Code__flags__uint32_t")
		if l.codeFlags == 0 {
			l.codeFlags = l.codeStart + 8
		}
		l.codeSize = r.offset("class_Code__instruction_size__int")
		if l.codeSize == 0 {
			l.codeSize = l.codeFlags + 4
			if v.less(11, 4, 59) {
				l.codeSize += 4
			}
		}
	}
	l.kindMask = uint32(r.value("CodeKindFieldMask"))    //nolint:gosec // a mask
	l.kindBaseline = uint32(r.value("CodeKindBaseline")) //nolint:gosec // a small number
	if l.kindBaseline == 0 && !v.less(9, 0, 240) {
		l.kindMask, l.kindBaseline = 15, 11
	}
}

// deoptLayout works out what is where in a code's deoptimization data.
func (l *layout) deoptLayout(r *constants) {
	l.deoptInlined, l.deoptLiterals, l.deoptShared, l.deoptPositions = 1, 2, 6, 7
	if n := r.value("DeoptimizationDataWrappedSharedFunctionInfoIndex"); n > 0 {
		l.deoptShared = int(n)
	} else if n := r.value("DeoptimizationDataSharedFunctionInfoIndex"); n > 0 {
		l.deoptShared = int(n)
	}
	if n := r.value("DeoptimizationDataInliningPositionsIndex"); n > 0 {
		l.deoptPositions = int(n)
	}
	if n := r.value("DeoptimizationDataLiteralArrayIndex"); n > 0 {
		l.deoptLiterals = int(n)
		if n == 3 {
			l.deoptProtected = 2
		}
	}
}

// constants reads V8's table.
type constants struct{ c map[string]int32 }

// value returns the first constant that there is, 0 if there is none.
func (r *constants) value(names ...string) int32 {
	for _, n := range names {
		if v, ok := r.c[n]; ok {
			return v
		}
	}
	return 0
}

func (r *constants) typ(names ...string) uint16 {
	v := r.value(names...)
	if v < 0 || v > 0xffff {
		return 0
	}
	return uint16(v)
}

// offset returns an offset, 0 if there is none or it cannot be.
func (r *constants) offset(names ...string) uint64 {
	v := r.value(names...)
	if v < 0 || v > 1024 {
		return 0
	}
	return uint64(v)
}
