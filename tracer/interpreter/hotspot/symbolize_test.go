// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Addresses in the machine that the tests make.
const (
	atClassName = 0x10000 + 0x100*iota
	atOuterName
	atInnerName
	atSignature
	atFile
)

const (
	atPool    = 0x20000
	atHolder  = 0x21000
	atOuter   = 0x30000 // Method
	atInner   = 0x30100
	atConst   = 0x40000 // ConstMethods, 0x1000 apart
	atBlob    = 0x50000
	atCode    = atBlob + 0x400
	atParts   = 0x60000
	atNames   = 0x70000
	compileID = 77
)

// machine makes the memory of a virtual machine with two methods, the one inlined
// into the other in compiled code, as a version lays it out.
type machine struct {
	image

	l *layout
}

func (m machine) field(object uint64, f member, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	m.put(object+f.offset, b[:f.size])
}

func (m machine) symbol(at uint64, s string) {
	m.field(at, m.l.symbol.length, uint64(len(s)))
	m.put(at+m.l.symbol.body, []byte(s))
}

func (m machine) method(at, constAt, name uint64, lines []line) {
	l := m.l
	m.field(at, l.method.constMethod, constAt)
	m.field(constAt, l.constMethod.constants, atPool)
	m.field(constAt, l.constMethod.words, 64)
	if l.constMethod.flags.there() {
		m.field(constAt, l.constMethod.flags, 1)
	}
	m.field(constAt, l.constMethod.codeSize, 20)
	m.field(constAt, l.constMethod.name, name)
	m.field(constAt, l.constMethod.signature, 3)
	m.put(constAt+l.constMethod.size+20, packLines(lines, l.unsigned5Skip))
}

func newMachine(t *testing.T, version string) machine {
	t.Helper()
	l := layoutOf(t, version)
	m := machine{image{}, l}
	m.symbol(atClassName, "com/foo/Bar")
	m.symbol(atOuterName, "outer")
	m.symbol(atInnerName, "inner")
	m.symbol(atSignature, "(ILjava/lang/String;)V")
	m.symbol(atFile, "Bar.java")
	m.field(atPool, l.constantPool.holder, atHolder)
	for i, at := range []uint64{atOuterName, atInnerName, atSignature, atFile} {
		m.word(atPool+l.constantPool.size+uint64(i+1)*8, at) //nolint:gosec // small
	}
	m.field(atHolder, l.klass.name, atClassName)
	if l.constantPool.sourceFile.there() {
		m.field(atPool, l.constantPool.sourceFile, 4)
	} else {
		m.field(atHolder, l.klass.sourceFile, 4)
	}
	m.method(atOuter, atConst, 1, []line{{0, 10}, {5, 12}})
	m.method(atInner, atConst+0x1000, 2, []line{{0, 20}, {8, 23}})

	// The compiled method: places at 0x20 (both methods) and 0x40 (the outer one).
	n := &l.nmethod
	m.field(atBlob, n.method, atOuter)
	m.field(atBlob, n.compileID, compileID)
	m.field(atBlob, l.codeBlob.frameComplete, 8)
	scopes := []byte{255} // no scope is at 0
	both := uint64(len(scopes))
	scope := func(sender uint64, method, bytecode uint32) {
		for _, v := range []uint32{uint32(sender), method, bytecode + 1} { //nolint:gosec // small
			scopes = pack(scopes, v, l.unsigned5Skip)
		}
	}
	outer := both + 3
	scope(outer, 2, 8)
	scope(0, 1, 6)
	pcs := uint64(0x200)
	places := [][2]uint64{{^uint64(0), 0}, {0x20, both}, {0x40, outer}, {0x7fffffff, 0}}
	for i, p := range places {
		at := pcs + uint64(i)*l.pcDesc.size //nolint:gosec // small
		m.field(atParts+at, l.pcDesc.pcOffset, p[0])
		m.field(atParts+at, l.pcDesc.scopeDecode, p[1])
	}
	end := pcs + uint64(len(places))*l.pcDesc.size
	base := uint64(atParts - atBlob) // where the parts begin, from the blob
	if n.base == partsInImmutable {
		base = 0
		m.field(atBlob, n.immutableData, atParts)
		m.field(atBlob, n.immutableSize, 0x1000)
		m.field(atBlob, n.scopesData, end)
	} else {
		m.field(atBlob, n.endOffset, base+0x1000)
		m.field(atBlob, n.scopesPcsEnd, base+end)
		m.field(atBlob, n.scopesData, base+end)
		if n.scopesDataAddr {
			m.field(atBlob, n.scopesData, atParts+end)
		}
	}
	m.field(atBlob, n.scopesPcs, base+pcs)
	m.put(atParts+end, scopes)
	switch {
	case n.metadata.there() && n.base == partsInBlob:
		m.field(atBlob, n.metadata, base)
	case n.metadata.there():
		m.field(atBlob, l.codeBlob.dataOffset, 0x8000)
		m.field(atBlob, n.metadata, atParts-atBlob-0x8000)
	default:
		m.field(atBlob, l.codeBlob.mutableData, atParts-0x10)
		m.field(atBlob, l.codeBlob.relocationSize, 0x10)
	}
	m.word(atParts, atOuter)
	m.word(atParts+8, atInner)

	// The same blob serves as a stub.
	m.field(atBlob, l.codeBlob.name, atNames)
	m.put(atNames, []byte("vtable chunks\x00"))
	if l.codeBlob.codeBegin.there() {
		m.field(atBlob, l.codeBlob.codeBegin, atCode)
	} else {
		m.field(atBlob, l.codeBlob.codeOffset, atCode-atBlob)
	}
	m.word(l.callStubReturn+testBias, atCode+0x33)
	for _, s := range l.stubs {
		m.word(s.address+testBias, atCode+0x100)
	}
	return m
}

func (m machine) instance() *instance {
	return &instance{layout: m.l, bias: testBias, memory: m.memory(), methods: map[uint64]*method{}}
}

var sameFile = cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })

func jvm(function string, line libpf.SourceLineno) libpf.Frame {
	return libpf.Frame{
		Type: libpf.JVMFrame, FunctionName: "com.foo.Bar." + function + "(int, String)", SourceFile: "com/foo/Bar.java", SourceLine: line,
	}
}

func compiledAt(pc uint64, exact bool) interpreter.Frame {
	w := compileID<<32 | pc
	if exact {
		w |= 1 << 31
	}
	return interpreter.Frame{Subtype: frameCompiled, Addr: atBlob, W1: w}
}

func TestSymbolize(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8", "17", "23", "25"} {
		m := newMachine(t, version)
		i := m.instance()
		inner, err := i.method(atInner)
		if err != nil {
			t.Fatalf("version %s: %v", version, err)
		}
		cookie := inner.cookie &^ 0xffff
		stub := func(pc uint64) interpreter.Frame {
			return interpreter.Frame{Subtype: frameStub, Addr: atBlob, W1: atNames<<32 | pc}
		}
		for name, tc := range map[string]struct {
			frame interpreter.Frame
			want  []libpf.Frame
			err   error
		}{
			"interpreted":          {interpreter.Frame{Subtype: frameInterpreted, Addr: atInner, W1: cookie | 9}, []libpf.Frame{jvm("inner", 23)}, nil},
			"interpreted, native":  {interpreter.Frame{Subtype: frameInterpreted, Addr: atInner, W1: cookie | noBytecode}, []libpf.Frame{jvm("inner", 0)}, nil},
			"another method since": {interpreter.Frame{Subtype: frameInterpreted, Addr: atOuter, W1: cookie | 9}, nil, interpreter.ErrStale},
			"inlined":              {compiledAt(0x20, false), []libpf.Frame{jvm("inner", 23), jvm("outer", 12)}, nil},
			"not inlined":          {compiledAt(0x40, false), []libpf.Frame{jvm("outer", 12)}, nil},
			"interrupted":          {compiledAt(0x18, true), []libpf.Frame{jvm("inner", 23), jvm("outer", 12)}, nil},
			"behind a call":        {compiledAt(0x20, true), []libpf.Frame{jvm("outer", 12)}, nil},
			"on entry":             {compiledAt(4, true), []libpf.Frame{jvm("outer", 10)}, nil},
			"behind all places":    {compiledAt(0x50, false), []libpf.Frame{jvm("outer", 0)}, nil},
			"compiled again": {
				interpreter.Frame{Subtype: frameCompiled, Addr: atBlob, W1: (compileID+1)<<32 | 0x20}, nil, interpreter.ErrStale,
			},
			"stub":            {stub(0x10), []libpf.Frame{{Type: libpf.JVMFrame, FunctionName: "vtable chunks"}}, nil},
			"call stub":       {stub(0x33), []libpf.Frame{{Type: libpf.JVMFrame, FunctionName: "StubRoutines::call_stub"}}, nil},
			"another stub":    {interpreter.Frame{Subtype: frameStub, Addr: atBlob, W1: 5 << 32}, nil, interpreter.ErrStale},
			"unknown kind":    {interpreter.Frame{Subtype: 9, Addr: atBlob}, nil, errFrame},
			"no memory there": {interpreter.Frame{Subtype: frameInterpreted, Addr: 0xdead000}, nil, process.ErrMemory},
		} {
			got, err := i.Symbolize(tc.frame, nil)
			if !errors.Is(err, tc.err) {
				t.Errorf("version %s, %s: error %v, want %v", version, name, err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got, sameFile); diff != "" && tc.err == nil {
				t.Errorf("version %s, %s: (-want +got)\n%s", version, name, diff)
			}
			if tc.err != nil && len(got) != 0 {
				t.Errorf("version %s, %s: frames with an error", version, name)
			}
		}
		got, err := i.Symbolize(stub(0x120), nil)
		if len(m.l.stubs) > 0 && (err != nil || got[0].FunctionName != "StubRoutines::"+m.l.stubs[0].name) {
			t.Errorf("version %s: routine is %v, %v", version, got, err)
		}
	}
}

// Scopes that refer to each other come to an end.
func TestScopesWithoutEnd(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "17")
	for at, b := range m.image {
		if len(b) > 5 && b[0] == 255 && at > atParts {
			b[1+3] = 1 // the outer one is in the inner one
		}
	}
	if _, err := m.instance().Symbolize(compiledAt(0x20, false), nil); !errors.Is(err, errFrame) {
		t.Errorf("error %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "17")
	i := m.instance()
	for k := range uint64(maxMethods) {
		i.methods[k] = &method{}
	}
	if _, err := i.method(atInner); err != nil || len(i.methods) > maxMethods/2+1 {
		t.Errorf("%d methods are kept, %v", len(i.methods), err)
	}
}

// noisy is the memory of a machine in which some bytes are something else.
func noisy(m process.Memory, seed uint64) process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		r := rand.New(rand.NewPCG(seed, addr)) //nolint:gosec // a test
		if r.IntN(40) == 0 {
			return process.ErrMemory
		}
		if err := m.Read(b, addr); err != nil {
			return err
		}
		for range min(r.IntN(3), len(b)) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		return nil
	})
}

func TestDamagedMemory(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8", "17", "25"} {
		m := newMachine(t, version)
		for seed := range uint64(300) {
			i := m.instance()
			i.memory = noisy(m.memory(), seed)
			for _, f := range []interpreter.Frame{
				compiledAt(0x20, false), compiledAt(0x11, true), {Subtype: frameInterpreted, Addr: atInner, W1: seed},
				{Subtype: frameStub, Addr: atBlob, W1: atNames<<32 | 0x10},
			} {
				if got, err := i.Symbolize(f, nil); err != nil && len(got) != 0 {
					t.Fatal("frames with an error")
				}
			}
			i.readFrozen(&bpfHotspotProcess{})
		}
	}
}

func FuzzSymbolize(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint64(0x20))
	f.Add(uint64(2), uint8(1), uint64(9))
	f.Fuzz(func(t *testing.T, seed uint64, kind uint8, w uint64) {
		i := newMachine(t, []string{"8", "17", "23", "25"}[seed%4]).instance()
		i.memory = noisy(i.memory, seed)
		_, _ = i.Symbolize(interpreter.Frame{Subtype: kind % 4, Addr: atBlob, W1: compileID<<32 | w&0xffffffff}, nil)
		_, _ = i.Symbolize(interpreter.Frame{Subtype: kind % 4, Addr: atOuter, W1: w}, nil)
	})
}
