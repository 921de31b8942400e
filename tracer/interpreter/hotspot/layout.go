// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// member is a member of a C++ object.
type member struct {
	offset uint64
	size   uint8 // in bytes; 0: this version does not have it
}

// there reports whether the version has the member.
func (m member) there() bool { return m.size != 0 }

// in reads the member from a copy of the object; 0 when the copy is too short.
func (m member) in(object []byte) uint64 {
	if !m.there() || m.offset+uint64(m.size) > uint64(len(object)) {
		return 0
	}
	b := object[m.offset:]
	switch m.size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// at reads the member of the object at an address.
func (m member) at(memory process.Memory, object uint64) (uint64, error) {
	var b [8]byte
	err := memory.Read(b[:m.size], object+m.offset)
	return binary.LittleEndian.Uint64(b[:]), err
}

// layout is what a version looks like. Names of fields are those of the types and
// members in HotSpot's sources. Static addresses are those in the file.
type layout struct {
	// release is 8, 11, 17 ...
	release int
	// unsigned5Skip is what is added to each byte of a compressed number: since 20
	// no such byte is 0.
	unsigned5Skip byte
	// slotMethod and slotBcp count words below the interpreter's frame pointer.
	slotMethod, slotBcp uint8

	codeCache struct {
		heaps uint64 // static: GrowableArray<CodeHeap*>*, since 9
		heap  uint64 // static: CodeHeap*, before
	}
	growableArray struct{ data, length member }
	codeHeap      struct{ memory, segmap, log2SegmentSize member }
	virtualSpace  struct{ lowBoundary, highBoundary, low member }
	heapBlock     uint64 // size

	interpreter uint64 // static: StubQueue*
	stubQueue   struct{ buffer, limit member }
	codelet     struct {
		size                uint64
		description, length member
	}
	// continuationPC is the static address of that of ContinuationEntry, since 19.
	continuationPC    uint64
	continuationEntry uint64 // size
	threadEntry       member // JavaThread's pointer to it
	// wellKnown is the static address of the table of classes that the virtual
	// machine itself knows; oopBase and oopShift those of what makes an address of a
	// compressed reference.
	wellKnown, oopBase, oopShift uint64
	bytes                        member // of Array<u1>
	// stubs are the static addresses of the variables that hold routines' entries.
	stubs []stubVariable
	// callStubReturn is the static address of that of StubRoutines.
	callStubReturn uint64

	codeBlob struct {
		size      uint64
		name      member
		frameSize member
		// One of them: the address itself, or an offset from the blob.
		codeBegin, codeOffset member
		frameComplete         member
		dataOffset            member
		relocationSize        member
		mutableData           member
	}
	nmethod struct {
		size           uint64
		method         member
		compileID      member
		origPC         member
		deopt, deoptMH member
		deoptIsAddress bool
		// Where the parts begin, either as addresses or from the start of what
		// base says.
		base           partsBase
		scopesData     member
		scopesDataAddr bool
		scopesPcs      member
		scopesPcsEnd   member // is that of what comes next
		metadata       member // see metadataBegin()
		immutableData  member
		immutableSize  member
		endOffset      member
	}
	pcDesc struct {
		size                  uint64
		pcOffset, scopeDecode member
	}
	method      struct{ constMethod member }
	constMethod struct {
		size                                               uint64
		constants, words, flags, codeSize, name, signature member
	}
	constantPool struct {
		size               uint64
		holder, sourceFile member
	}
	klass struct {
		name       member
		sourceFile member // of InstanceKlass, before it moved to the pool
		// For the frames of virtual threads.
		layoutHelper, constants, fieldInfo member
	}
	symbol struct {
		length member
		body   uint64
	}
}

// partsBase says what the offsets of a method's parts count from.
type partsBase int

const (
	partsInBlob      partsBase = iota // the blob, up to 22
	partsInImmutable                  // the method's immutable data, since 23
)

// stubVariable is a variable that holds the address of a routine.
type stubVariable struct {
	name    string
	address uint64
}

// widths of the types that members have, as the tables spell them. Pointers have 8.
var widths = map[string]uint8{
	"int": 4, "unsigned int": 4, "uint": 4, "u4": 4, "jint": 4, "uint32_t": 4, "int32_t": 4,
	"u2": 2, "s2": 2, "uint16_t": 2, "int16_t": 2, "jushort": 2, "unsigned short": 2, "short": 2, "jshort": 2,
	"u1": 1, "uint8_t": 1, "unsigned char": 1, "char": 1, "CodeBlobKind": 1, "jbyte": 1,
	"address": 8, "uintptr_t": 8, "intptr_t": 8, "size_t": 8, "u8": 8, "uint64_t": 8, "julong": 8,
}

// width returns the size of a type; 0 for one that is not known.
func width(typ string) uint8 {
	typ = strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(typ, "volatile", ""), "const "))
	if strings.HasSuffix(typ, "*") {
		return 8
	}
	return widths[typ]
}

// fieldReader looks members up and keeps the first failure.
type fieldReader struct {
	t    *vmTables
	bias uint64
	err  error
}

// optional returns the first of the members that this version has.
func (r *fieldReader) optional(names ...string) member {
	for _, n := range names {
		f, ok := r.t.fields[n]
		if !ok || f.static {
			continue
		}
		w := width(f.typ)
		if w == 0 || f.offset > maxOffset {
			if r.err == nil {
				r.err = unsupported("", "unexpected form of "+n)
			}
			return member{}
		}
		return member{f.offset, w}
	}
	return member{}
}

// maxOffset bounds offsets of members; those of a method's header are below 400.
const maxOffset = 4096

// member is optional for members that must be there.
func (r *fieldReader) member(names ...string) member {
	m := r.optional(names...)
	if !m.there() && r.err == nil {
		r.err = unsupported("", "no field "+names[0])
	}
	return m
}

// embedded returns the offset of a member that is an object itself.
func (r *fieldReader) embedded(name string) member {
	f, ok := r.t.fields[name]
	if (!ok || f.static || f.offset > maxOffset) && r.err == nil {
		r.err = unsupported("", "no field "+name)
	}
	return member{f.offset, 8}
}

// static returns the address in the file of a static variable; 0 when there is none.
func (r *fieldReader) static(name string) uint64 {
	if f, ok := r.t.fields[name]; ok && f.static && f.address != 0 {
		return f.address - r.bias
	}
	return 0
}

func (r *fieldReader) size(name string) uint64 {
	n := r.t.sizes[name]
	if (n == 0 || n > maxOffset) && r.err == nil {
		r.err = unsupported("", "no type "+name)
	}
	return n
}

// newLayout makes a layout of the description that a process gives.
func newLayout(t *vmTables, bias uint64, memory process.Memory) (*layout, error) {
	l := &layout{}
	r := &fieldReader{t: t, bias: bias}
	var err error
	if l.release, err = release(t, memory); err != nil {
		return nil, err
	}
	if l.release >= 20 {
		l.unsigned5Skip = 1
	}
	l.slotMethod, l.slotBcp = slots(l.release, runtime.GOARCH)
	l.readHeaps(r)
	l.readCode(r)
	l.readMethods(r)
	for name, f := range t.fields {
		if strings.HasPrefix(name, "vmClasses::_klasses[") && f.static && (l.wellKnown == 0 || f.address-bias < l.wellKnown) {
			l.wellKnown = f.address - bias
		}
		routine, ok := strings.CutPrefix(name, "StubRoutines::_")
		if ok && f.static && f.typ == "address" && f.address != 0 && routine != "call_stub_return_address" {
			l.stubs = append(l.stubs, stubVariable{routine, f.address - bias})
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return l, nil
}

// release finds the version. Up to 8 the virtual machine counted its own.
func release(t *vmTables, memory process.Memory) (int, error) {
	if f, ok := t.fields["JDK_Version::_current"]; ok && f.static {
		v, err := memory.Uint8(f.address + t.fields["JDK_Version::_major"].offset)
		if err != nil {
			return 0, fmt.Errorf("read version: %w", err)
		}
		if v == 0 {
			return 0, interpreter.ErrNotReady
		}
		return int(v), supported(int(v))
	}
	f, ok := t.fields["Abstract_VM_Version::_vm_major_version"]
	if !ok || !f.static {
		return 0, unsupported("", "no version")
	}
	v, err := memory.Uint32(f.address)
	if err != nil {
		return 0, fmt.Errorf("read version: %w", err)
	}
	return int(v), supported(int(v))
}

func supported(release int) error {
	if release < 8 || release > 200 {
		return unsupported(strconv.Itoa(release), "version not supported")
	}
	return nil
}

// slots returns where the interpreter's frames keep the method and the address of
// the bytecode: frame_x86.hpp and frame_aarch64.hpp. Below the frame pointer are
// the sender's stack pointer, the last one, the method, since 9 a mirror, then
// (ARM since 9: and a word of padding) profile, cache, locals, bytecode.
func slots(release int, arch string) (method, bcp uint8) {
	switch {
	case release < 9:
		return 3, 7
	case arch == "arm64":
		return 3, 9
	}
	return 3, 8
}

func (l *layout) readHeaps(r *fieldReader) {
	l.codeCache.heaps, l.codeCache.heap = r.static("CodeCache::_heaps"), r.static("CodeCache::_heap")
	if l.codeCache.heaps == 0 && l.codeCache.heap == 0 && r.err == nil {
		r.err = unsupported("", "no code cache")
	}
	if l.codeCache.heaps != 0 {
		l.growableArray.data = r.member("GrowableArray<int>::_data")
		l.growableArray.length = r.member("GrowableArrayBase::_len", "GenericGrowableArray::_len")
	}
	l.codeHeap.memory, l.codeHeap.segmap = r.embedded("CodeHeap::_memory"), r.embedded("CodeHeap::_segmap")
	l.codeHeap.log2SegmentSize = r.member("CodeHeap::_log2_segment_size")
	l.virtualSpace.lowBoundary = r.member("VirtualSpace::_low_boundary")
	l.virtualSpace.highBoundary = r.member("VirtualSpace::_high_boundary")
	l.virtualSpace.low = r.member("VirtualSpace::_low")
	l.heapBlock = r.size("HeapBlock")
	l.interpreter = r.static("AbstractInterpreter::_code")
	if l.interpreter == 0 && r.err == nil {
		r.err = unsupported("", "no interpreter")
	}
	l.stubQueue.buffer, l.stubQueue.limit = r.member("StubQueue::_stub_buffer"), r.member("StubQueue::_buffer_limit")
	l.codelet.size = r.size("InterpreterCodelet")
	l.codelet.description, l.codelet.length = r.member("InterpreterCodelet::_description"), r.member("InterpreterCodelet::_size")
	l.continuationPC = r.static("ContinuationEntry::_return_pc")
	l.continuationEntry = r.t.sizes["ContinuationEntry"]
	l.threadEntry = r.optional("JavaThread::_cont_entry")
	l.callStubReturn = r.static("StubRoutines::_call_stub_return_address")
}

func (l *layout) readCode(r *fieldReader) {
	b := &l.codeBlob
	b.size = r.size("CodeBlob")
	b.name, b.frameSize = r.member("CodeBlob::_name"), r.member("CodeBlob::_frame_size")
	b.frameComplete = r.member("CodeBlob::_frame_complete_offset")
	b.codeBegin = r.optional("CodeBlob::_code_begin")
	if !b.codeBegin.there() {
		b.codeOffset = r.member("CodeBlob::_code_offset")
	}
	b.dataOffset = r.member("CodeBlob::_data_offset")
	b.relocationSize = r.optional("CodeBlob::_relocation_size")
	b.mutableData = r.optional("CodeBlob::_mutable_data")

	// CompiledMethod was a class of its own from 9 to 22.
	n := &l.nmethod
	n.size = r.size("nmethod")
	n.method = r.member("nmethod::_method", "CompiledMethod::_method")
	n.compileID = r.member("nmethod::_compile_id")
	n.origPC = r.member("nmethod::_orig_pc_offset")
	n.deopt = r.optional("CompiledMethod::_deopt_handler_begin")
	if n.deoptIsAddress = n.deopt.there(); n.deoptIsAddress {
		n.deoptMH = r.optional("CompiledMethod::_deopt_mh_handler_begin")
	} else {
		n.deopt = r.optional("nmethod::_deopt_handler_offset", "nmethod::_deoptimize_offset", "nmethod::_deopt_handler_entry_offset")
		n.deoptMH = r.optional("nmethod::_deopt_mh_handler_offset", "nmethod::_deoptimize_mh_offset")
	}
	n.scopesPcs = r.member("nmethod::_scopes_pcs_offset")
	n.metadata = r.optional("nmethod::_metadata_offset")
	n.immutableData = r.optional("nmethod::_immutable_data")
	if n.immutableData.there() {
		n.base = partsInImmutable
		n.immutableSize = r.member("nmethod::_immutable_data_size")
		n.scopesData = r.member("nmethod::_scopes_data_offset")
		n.scopesPcsEnd = n.scopesData
		if !b.mutableData.there() && !n.metadata.there() && r.err == nil {
			r.err = unsupported("", "no field nmethod::_metadata_offset")
		}
	} else {
		n.scopesPcsEnd = r.member("nmethod::_dependencies_offset")
		n.metadata = r.member("nmethod::_metadata_offset")
		n.endOffset = r.member("nmethod::_nmethod_end_offset")
		n.scopesData = r.optional("CompiledMethod::_scopes_data_begin")
		if n.scopesDataAddr = n.scopesData.there(); !n.scopesDataAddr {
			n.scopesData = r.member("nmethod::_scopes_data_offset")
		}
	}
	l.pcDesc.size = r.size("PcDesc")
	l.pcDesc.pcOffset, l.pcDesc.scopeDecode = r.member("PcDesc::_pc_offset"), r.member("PcDesc::_scope_decode_offset")
}

func (l *layout) readMethods(r *fieldReader) {
	l.method.constMethod = r.member("Method::_constMethod")
	m := &l.constMethod
	m.size = r.size("ConstMethod")
	m.constants, m.words = r.member("ConstMethod::_constants"), r.member("ConstMethod::_constMethod_size")
	m.flags = r.optional("ConstMethod::_flags", "ConstMethod::_flags._flags")
	m.codeSize = r.member("ConstMethod::_code_size")
	m.name, m.signature = r.member("ConstMethod::_name_index"), r.member("ConstMethod::_signature_index")
	l.constantPool.size = r.size("ConstantPool")
	l.constantPool.holder = r.member("ConstantPool::_pool_holder")
	l.constantPool.sourceFile = r.optional("ConstantPool::_source_file_name_index")
	l.klass.name = r.member("Klass::_name")
	if !l.constantPool.sourceFile.there() {
		l.klass.sourceFile = r.member("InstanceKlass::_source_file_name_index")
	}
	l.klass.layoutHelper = r.optional("Klass::_layout_helper")
	l.klass.constants = r.optional("InstanceKlass::_constants")
	l.klass.fieldInfo = r.optional("InstanceKlass::_fieldinfo_stream")
	if f, ok := r.t.fields["Array<u1>::_data"]; ok && f.offset <= maxOffset {
		l.bytes = member{f.offset, 1}
	}
	l.oopBase, l.oopShift = r.static("CompressedOops::_base"), r.static("CompressedOops::_shift")
	if l.oopBase == 0 {
		l.oopBase, l.oopShift = r.static("CompressedOops::_narrow_oop._base"), r.static("CompressedOops::_narrow_oop._shift")
	}
	// For a while the length was the upper half of a word.
	if l.symbol.length = r.optional("Symbol::_length"); !l.symbol.length.there() {
		l.symbol.length = member{r.member("Symbol::_length_and_refcount").offset + 2, 2}
	}
	f, ok := r.t.fields["Symbol::_body"]
	if !ok {
		f, ok = r.t.fields["Symbol::_body[0]"]
	}
	if (!ok || f.offset > maxOffset) && r.err == nil {
		r.err = unsupported("", "no field Symbol::_body")
	}
	l.symbol.body = f.offset
}
