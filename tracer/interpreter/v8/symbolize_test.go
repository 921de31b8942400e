// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// image is a made heap.
type image struct {
	*layout
	b    []byte
	maps map[uint16]uint64
}

const imageBase = 0xffff_7f00_0000 // of 48 bits, as on arm64

func newImage(l *layout) *image {
	return &image{layout: l, b: make([]byte, 0, 1<<16), maps: map[uint16]uint64{}}
}

// at reserves n bytes.
func (m *image) at(n int) uint64 {
	a := uint64(imageBase + len(m.b))
	m.b = append(m.b, make([]byte, (n+63)&^63)...)
	return a
}

func (m *image) put(addr, w uint64)   { binary.LittleEndian.PutUint64(m.b[addr-imageBase:], w) }
func (m *image) put32(addr, w uint64) { binary.LittleEndian.PutUint32(m.b[addr-imageBase:], uint32(w)) } //nolint:gosec // small

// heapMap makes the map of a type, once.
func (m *image) heapMap(typ uint16) uint64 {
	mp, ok := m.maps[typ]
	if !ok {
		mp = m.at(64)
		binary.LittleEndian.PutUint16(m.b[mp+m.mapType-imageBase:], typ)
		m.maps[typ] = mp
	}
	return mp
}

// object makes an object of words, the first of which is its map.
func (m *image) object(typ uint16, words ...uint64) uint64 {
	mp := m.heapMap(typ)
	a := m.at(8 + 8*len(words))
	m.put(a, mp|1)
	for i, w := range words {
		m.put(a+8+uint64(i)*8, w) //nolint:gosec // small
	}
	return a
}

func number(n int) uint64 { return uint64(n) << 32 } //nolint:gosec // of the tests

func (m *image) bytes(typ uint16, b []byte) uint64 {
	a := m.object(typ, append([]uint64{number(len(b))}, make([]uint64, len(b)/8+1)...)...)
	copy(m.b[a+arrayData-imageBase:], b)
	return a | 1
}

func (m *image) array(w ...uint64) uint64 {
	return m.object(m.fixedArray, append([]uint64{number(len(w))}, w...)...) | 1
}

func (m *image) text(s string) uint64 {
	a := m.object(stringOneByte, make([]uint64, len(s)/8+3)...)
	m.put32(a+stringLength, uint64(len(s)))
	copy(m.b[a+stringData-imageBase:], s)
	return a | 1
}

func (m *image) wide(s string) uint64 {
	u := utf16.Encode([]rune(s))
	a := m.object(0, make([]uint64, len(u)/4+3)...)
	m.put32(a+stringLength, uint64(len(u)))
	for i, c := range u {
		binary.LittleEndian.PutUint16(m.b[int(a)+stringData-imageBase+2*i:], c) //nolint:gosec // small
	}
	return a | 1
}

// shaped makes a string of parts.
func (m *image) shaped(shape uint16, length int, words ...uint64) uint64 {
	a := m.object(shape|stringOneByte, append([]uint64{0}, words...)...)
	m.put32(a+stringLength, uint64(length)) //nolint:gosec // small
	return a | 1
}

// function makes a function with a name, one variable, and a place in a script.
func (m *image) function(name, inferred, script uint64, start int) uint64 {
	head := []uint64{number(1), number(0), number(1)}
	if m.scopeInfoStart > 0 {
		head = append(head, number(start), number(start+50))
	}
	slots := append(head, m.text("x"), number(0), name, number(-1), inferred)
	if m.scopeInfoStart == 0 {
		slots = append(slots, number(start), number(start+50))
	}
	if m.scopeInfoSlots == arrayData {
		slots = append([]uint64{number(len(slots))}, slots...)
	}
	scope := m.object(m.scopeInfo, append(slots, m.text("end"), 0, 0, 0, 0, 0)...)
	f := m.object(m.shared, make([]uint64, 8)...)
	m.put(f+m.sharedName, scope|1)
	m.put(f+m.sharedScript, script)
	return f
}

// script makes a script of three lines of 100 characters.
func (m *image) scriptOf(name string) uint64 {
	line := fmt.Sprintf("%99s\n", "")
	words := make([]uint64, 12)
	words[scriptSource/8-1] = m.text(line + line + line)
	words[scriptName/8-1] = m.text(name)
	return m.object(m.heap().script, words...) | 1
}

func (m *image) heap() *heap { return &heap{layout: m.layout} }

// compiled makes code, and returns the object that holds its instructions.
func (m *image) compiled(kind uint32, deopt uint64, positions []byte) uint64 {
	array := m.byteArray
	if m.trustedByteArray != 0 {
		array = m.trustedByteArray
	}
	table := m.bytes(array, positions)
	holder := m.layout.instructionStream
	c := uint64(0)
	if holder != 0 {
		c = m.object(m.heap().code, make([]uint64, 12)...)
	} else {
		holder = m.heap().code
	}
	pad := int(64-m.streamStart%64) % 64 //nolint:gosec // small
	m.heapMap(holder)
	m.b = append(m.b, make([]byte, pad)...)
	stream := m.object(holder, make([]uint64, 64)...) // its instructions are aligned
	m.b = append(m.b, make([]byte, (64-pad)%64)...)
	if c == 0 {
		c = stream
	} else {
		m.put(stream+8, c|1)
		m.put(c+m.codeStart, stream+m.streamStart)
	}
	m.put(c+m.codeDeopt, deopt)
	m.put(c+m.codePositions, table)
	m.put32(c+m.codeFlags, uint64(kind))
	m.put32(c+m.codeSize, 200)
	return stream
}

// signed writes numbers as tables hold them.
func signed(v ...int64) (b []byte) {
	for _, x := range v {
		u := uint64(x<<1) ^ uint64(x>>63) //nolint:gosec // zigzag
		for ; u >= 0x80; u >>= 7 {
			b = append(b, byte(u)|0x80)
		}
		b = append(b, byte(u))
	}
	return b
}

func (m *image) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		if addr < imageBase || addr+uint64(len(b)) > imageBase+uint64(len(m.b)) {
			return process.ErrMemory
		}
		copy(b, m.b[addr-imageBase:])
		return nil
	})
}

// scene is a heap with an optimised function outer, into which inner was
// inlined, and its frames.
type scene struct {
	*image
	optimised, interpreted, baseline interpreter.Frame
}

func newScene(l *layout) *scene {
	m := newImage(l)
	m.at(16 << 10) // what is read in front of code
	script := m.scriptOf("file:///srv/app.mjs")
	outer := m.function(m.text("outer"), m.text(""), script, 10)
	inner := m.function(0, m.text("Kit.inner"), script, 110)

	deopt := make([]uint64, 10)
	deopt[m.deoptInlined] = number(1)
	deopt[m.deoptLiterals] = m.array(inner | 3)
	deopt[m.deoptShared] = outer | 1
	if m.sharedWrapper != 0 {
		deopt[m.deoptShared] = m.object(m.sharedWrapper, outer|1) | 1
	}
	inlinings := make([]byte, 16)
	binary.LittleEndian.PutUint64(inlinings, (20+1)<<1) // called in line 1
	deopt[m.deoptPositions] = m.bytes(m.byteArray, inlinings)

	// From code offset 5 in inner, line 2; from 50 in outer, line 3.
	first, second := int64((150+1)<<1|1<<31), int64((250+1)<<1)
	entry := func(delta int64) int64 {
		if m.encoding == encodingFlags {
			return delta << 1
		}
		return -delta - 1
	}
	table := signed(entry(6), first, entry(45), second-first)
	stream := m.compiled(12, m.array(deopt...), table)

	array := m.byteArray
	if m.trustedByteArray != 0 {
		array = m.trustedByteArray
	}
	code := m.object(m.heap().bytecodeArray, make([]uint64, 16)...)
	m.put(code+arrayLength, number(10))
	m.put(code+m.bytecodePositions, m.bytes(array, signed(entry(1), (150+1)<<1, entry(4), 200)))
	for i := range uint64(10) {
		m.b[code+m.bytecodeData+i-imageBase] = 7
	}
	baseline := m.compiled(m.kindBaseline, code|1, []byte{10, 20, 20, 20})

	p := newInstance(l, bytecodeSizes{}, m.memory())
	f, err := p.function(outer, 0)
	if err != nil {
		panic(err)
	}
	check := uint64(f.check) << 32
	return &scene{
		image:     m,
		optimised: interpreter.Frame{Subtype: frameCompiled, Addr: outer, W1: check, W2: stream + m.streamStart + 20},
		interpreted: interpreter.Frame{
			Subtype: frameInterpreted, Addr: outer, W1: check | (m.bytecodeData - 1 + 6), W2: code,
		},
		baseline: interpreter.Frame{Subtype: frameCompiled, Addr: outer, W1: check, W2: baseline + m.streamStart + 70},
	}
}

func (s *scene) instance(mem process.Memory) *instance {
	sizes := bytecodeSizes{make([]byte, 8), make([]byte, 8), make([]byte, 8)}
	sizes[0][7] = 2
	return newInstance(s.layout, sizes, mem)
}

// show writes frames as text.
func show(frames []libpf.Frame) string {
	var out []string
	for _, f := range frames {
		text := f.FunctionName
		if f.SourceFile != "" {
			text += fmt.Sprintf(" %s:%d", f.SourceFile, f.SourceLine)
		}
		out = append(out, text)
	}
	return strings.Join(out, " < ")
}

func TestSymbolize(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"8.4", "10.2", "11.3", "12.4", "13.6", "14.6"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			s := newScene(recordedLayout(t, v))
			p := s.instance(s.memory())
			for name, c := range map[string]struct {
				frame interpreter.Frame
				want  string
			}{
				"inlined":     {s.optimised, "Kit.inner /srv/app.mjs:2 < outer /srv/app.mjs:1"},
				"interpreted": {s.interpreted, "outer /srv/app.mjs:3"},
				"marker":      {interpreter.Frame{Subtype: frameMarker, W1: 1}, "(Entry)"},
				"unknown":     {interpreter.Frame{Subtype: frameUnknown}, "(native code)"},
			} {
				for range 2 { // the second time from what is kept
					got, err := p.Symbolize(c.frame, nil)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if show(got) != c.want {
						t.Errorf("%s: %s, want %s", name, show(got), c.want)
					}
				}
			}
			outer := s.optimised
			outer.W2 += 60
			if got, err := p.Symbolize(outer, nil); err != nil || show(got) != "outer /srv/app.mjs:3" {
				t.Errorf("behind what was inlined: %s, %v", show(got), err)
			}
			if v == "8.4" { // has no such compiler
				return
			}
			if got, err := p.Symbolize(s.baseline, nil); err != nil || show(got) != "outer /srv/app.mjs:3" {
				t.Errorf("baseline: %s, %v", show(got), err)
			}
		})
	}
}

func TestSymbolizeStale(t *testing.T) {
	t.Parallel()
	s := newScene(recordedLayout(t, "12.4"))
	p := s.instance(s.memory())
	wrong := s.optimised
	wrong.W1 ^= 1 << 40
	if _, err := p.Symbolize(wrong, nil); !errors.Is(err, interpreter.ErrStale) {
		t.Errorf("another function: %v", err)
	}
	// The code is gone, the function is not.
	gone := s.optimised
	gone.W2 = imageBase + 100
	if got, err := p.Symbolize(gone, nil); err != nil || len(got) != 1 || got[0].FunctionName != "outer" {
		t.Errorf("code that is gone: %s, %v", show(got), err)
	}
	if _, err := p.Symbolize(interpreter.Frame{Subtype: 30}, nil); err == nil {
		t.Error("a kind of frame that is none has a name")
	}
}

// TestSymbolizeDamaged flips words of the heap: names may be wrong, but it ends.
func TestSymbolizeDamaged(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"9.4", "12.4", "14.6"} {
		s := newScene(recordedLayout(t, v))
		for at := 16 << 10; at < len(s.b); at += 8 {
			old := binary.LittleEndian.Uint64(s.b[at:])
			for _, w := range []uint64{0, 1, ^uint64(0), imageBase + uint64(at) | 1, number(1<<31 - 1), old ^ 64} { //nolint:gosec // small
				binary.LittleEndian.PutUint64(s.b[at:], w)
				p := s.instance(s.memory())
				for _, f := range []interpreter.Frame{s.optimised, s.interpreted, s.baseline} {
					f.W1 &= 0xffffffff // no check
					_, _ = p.Symbolize(f, nil)
				}
			}
			binary.LittleEndian.PutUint64(s.b[at:], old)
		}
	}
}

// TestSymbolizeTruncated fails every read once.
func TestSymbolizeTruncated(t *testing.T) {
	t.Parallel()
	s := newScene(recordedLayout(t, "12.4"))
	whole := s.memory()
	for _, f := range []interpreter.Frame{s.optimised, s.interpreted, s.baseline} {
		for n := 0; ; n++ {
			reads := 0
			p := s.instance(process.NewMemoryFunc(func(b []byte, addr uint64) error {
				if reads++; reads > n {
					return process.ErrMemory
				}
				return whole.Read(b, addr)
			}))
			_, _ = p.Symbolize(f, nil)
			if reads <= n {
				break
			}
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	m := newImage(recordedLayout(t, "12.4"))
	h := &heap{layout: m.layout, mem: m.memory()}
	ab, cd := m.text("ab"), m.text("cd\xe9")
	chars := m.at(64)
	copy(m.b[chars-imageBase:], "external")
	loop := m.shaped(shapeThin, 3, 0)
	m.put(loop-1+thinActual, loop)
	deep := ab
	for range 200 {
		deep = m.shaped(shapeCons, 100, deep, cd)
	}
	for name, c := range map[string]struct {
		word uint64
		want string
		ok   bool
	}{
		"one byte": {cd, "cdé", true},
		"two":      {m.wide("zwölf 三"), "zwölf 三", true},
		"cons":     {m.shaped(shapeCons, 5, ab, cd), "abcdé", true},
		"thin":     {m.shaped(shapeThin, 2, ab), "ab", true},
		"sliced":   {m.shaped(shapeSliced, 3, m.text("abcdefg"), number(2)), "cde", true},
		"external": {m.shaped(shapeExternal, 8, 0, chars), "external", true},
		"control":  {m.text("a\nb\x1b"), "a?b?", true},
		"uncached": {m.shaped(shapeExternal|stringUncached, 8, 0, chars), "", false},
		"number":   {number(5), "", false},
		"object":   {m.array(), "", false},
		"loop":     {loop, "", false},
		"deep":     {deep, "", false},
		"slice of a cons": {
			m.shaped(shapeSliced, 3, m.shaped(shapeCons, 5, ab, cd), number(1)), "", false,
		},
	} {
		got, err := h.text(c.word)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestAssignedName(t *testing.T) {
	t.Parallel()
	m := newImage(recordedLayout(t, "12.4"))
	for text, want := range map[string]string{
		"Crab.prototype.pinch = function ": "Crab.pinch", "x = async function* ": "", "a.b = async ": "a.b",
		"Module._extensions['.js'] = function": "Module._extensions..js", "call(": "", "  key: function": "key", "return ": "",
		"a.b=function*": "a.b",
	} {
		p := newInstance(m.layout, bytecodeSizes{}, process.Memory{})
		source := m.text(text)
		p.mem = m.memory()
		got := p.assignedName(source, len(text))
		if text == "x = async function* " {
			want = "x"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzSymbolize(f *testing.F) {
	l := recordedLayout(f, "12.4")
	s := newScene(l)
	f.Add(s.b[16<<10:], uint8(frameCompiled), s.optimised.Addr, s.optimised.W2)
	f.Add(s.b[16<<10:], uint8(frameInterpreted), s.interpreted.Addr, s.interpreted.W2)
	f.Add(s.b[16<<10:], uint8(frameCompiled), s.baseline.Addr, s.baseline.W2)
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, addr, w2 uint64) {
		m := image{layout: l, b: append(make([]byte, 16<<10), b...)}
		p := s.instance(m.memory())
		out, err := p.Symbolize(interpreter.Frame{Subtype: kind, Addr: addr, W2: w2}, nil)
		if (err == nil) != (len(out) > 0) {
			t.Errorf("%d frames with error %v", len(out), err)
		}
	})
}
