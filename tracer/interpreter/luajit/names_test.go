// SPDX-License-Identifier: Apache-2.0

package luajit

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// image is memory of a process that tests lay out: blocks that are far apart.
type image struct {
	blocks map[uint64][]byte
	next   uint64
	wide   bool
}

const blockSize = 0x1000

func (m *image) add(b []byte) uint64 {
	m.next += blockSize
	m.blocks[m.next] = b
	return m.next
}

func (m *image) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		block, off := m.blocks[addr&^(blockSize-1)], int(addr&(blockSize-1)) //nolint:gosec // small
		if block == nil || off > len(block) {
			return process.ErrMemory
		}
		clear(b[copy(b, block[off:]):]) // a string is read by the page
		return nil
	})
}

func (m *image) ref(b []byte, v uint64) []byte {
	if m.wide {
		return binary.LittleEndian.AppendUint64(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(v)) //nolint:gosec // a narrow reference
}

func (m *image) text(s string) uint64 {
	head := make([]byte, 20)
	binary.LittleEndian.PutUint32(head[12:], 0xdeadbeef) // hash
	binary.LittleEndian.PutUint32(head[16:], uint32(len(s)))
	if m.wide {
		head = make([]byte, 24)
	}
	return m.add(append(append(head, s...), 0))
}

// source is a function to lay out.
type source struct {
	chunk        string
	first, lines uint32
	code         []uint32
	lineOf       []byte
	constants    []string
	upvalues     string
	variables    string
}

func (m *image) proto(s source) uint64 {
	head := 64
	if m.wide {
		head = 104
	}
	var constants []byte
	for _, v := range slices.Backward(s.constants) {
		constants = m.ref(constants, m.text(v))
	}
	k := m.add(constants) + uint64(len(constants))
	chunk := m.text(s.chunk)
	at := m.next + blockSize
	b := make([]byte, head)
	for _, ins := range s.code {
		b = binary.LittleEndian.AppendUint32(b, ins)
	}
	lineInfo, upvalues := at+uint64(len(b)), at+uint64(len(b)+len(s.lineOf))
	b = append(append(b, s.lineOf...), s.upvalues...)
	variables := at + uint64(len(b))
	b = append(b, s.variables...)
	u32 := func(off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
	put := func(off int, v uint64) { copy(b[off:], m.ref(nil, v)) }
	if m.wide {
		u32(12, uint32(len(s.code)))
		put(32, k)
		u32(56, uint32(len(b)))
		put(64, chunk)
		u32(72, s.first)
		u32(76, s.lines)
		put(80, lineInfo)
		put(88, upvalues)
		put(96, variables)
	} else {
		u32(8, uint32(len(s.code)))
		put(16, k)
		u32(32, uint32(len(b)))
		put(40, chunk)
		u32(44, s.first)
		u32(48, s.lines)
		put(52, lineInfo)
		put(56, upvalues)
		put(60, variables)
	}
	return m.add(b)
}

func ad(op, a, d uint32) uint32 { return op | a<<8 | d<<16 }

func abc(op, a, b, c uint32) uint32 { return op | a<<8 | c<<16 | b<<24 }

// pushed makes the words of a frame as the eBPF program does.
func (d *decoder) pushed(at uint64, pc uint32, caller uint64, callPC uint32) interpreter.Frame {
	p, _ := d.proto(at)
	return interpreter.Frame{
		Addr: mix(mix(mix(0, p.chunk), uint64(p.count)), uint64(p.first)<<32|uint64(p.lines)) & (1<<48 - 1),
		W1:   at>>3 | uint64(pc)<<pointerBits, W2: caller>>3 | uint64(callPC)<<pointerBits,
	}
}

// lay lays out a function, and one that calls it in several ways.
func lay(m *image) (callee, caller, chunk uint64) {
	callee = m.proto(source{chunk: "@/srv/pond.lua", first: 10, lines: 5, code: make([]uint32, 4), lineOf: []byte{1, 2, 3}})
	caller = m.proto(source{
		chunk: "@/srv/pond.lua", first: 20, lines: 9, lineOf: make([]byte, 20),
		constants: []string{"glob", "field"}, upvalues: "up0\x00up1\x00",
		// A variable "v" in slot 0 all along, a hidden one, and "late" from instruction 12 on.
		variables: "v\x00\x00\x40\x01\x00\x40late\x00\x0c\x10\x00",
		code: []uint32{
			0,
			ad(opUGET, 3, 1), ad(opCALL, 3, 0), // 2: upvalue
			ad(opGGET, 3, 0), ad(opCALL, 3, 0), // 4: global
			abc(opTGETS, 3, 0, 1), ad(opCALL, 3, 0), // 6: field
			ad(opMOV, 3, 0), ad(opCALL, 3, 0), // 8: local
			ad(opKNIL, 2, 4), ad(opCALL, 3, 0), // 10: nil
			ad(opTNEW, 3, 0), ad(opCALL, 3, 0), // 12: unknown
			ad(opMOV, 3, 2), ad(opCALL, 3, 0), // 14: late
			ad(opITERC, 3, 0),                   // 15
			ad(opGGET, 3, 99), ad(opCALL, 3, 0), // 17: no such constant
		},
	})
	chunk = m.proto(source{chunk: "=stdin", code: make([]uint32, 2)})
	return callee, caller, chunk
}

func images() map[string]*image {
	return map[string]*image{
		"wide":   {blocks: map[uint64][]byte{}, next: 0x7f00_0000_0000, wide: true},
		"narrow": {blocks: map[uint64][]byte{}, next: 0x4000_0000},
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for kind, m := range images() {
		callee, caller, chunk := lay(m)
		d := decoder{memory: m.memory(), layout: layout{wide: m.wide}}
		const file = "/srv/pond.lua"
		for name, c := range map[string]struct {
			f    interpreter.Frame
			want function
		}{
			"upvalue":     {d.pushed(callee, 1, caller, 2), function{"up1", file, 10, 11}},
			"global":      {d.pushed(callee, 2, caller, 4), function{"glob", file, 10, 12}},
			"field":       {d.pushed(callee, 3, caller, 6), function{"field", file, 10, 13}},
			"local":       {d.pushed(callee, 0, caller, 8), function{"v", file, 10, 10}},
			"nil":         {d.pushed(callee, noPC, caller, 10), function{"", file, 10, 10}},
			"unknown":     {d.pushed(callee, 1, caller, 12), function{"", file, 10, 11}},
			"late":        {d.pushed(callee, 1, caller, 14), function{"late", file, 10, 11}},
			"iterator":    {d.pushed(callee, 1, caller, 15), function{"(for iterator)", file, 10, 11}},
			"no constant": {d.pushed(callee, 1, caller, 17), function{"", file, 10, 11}},
			"no call":     {d.pushed(callee, 1, caller, 1), function{"", file, 10, 11}},
			"no such":     {d.pushed(callee, 1, caller, 1000), function{"", file, 10, 11}},
			"no caller":   {d.pushed(callee, 1, 0, 0), function{"", file, 10, 11}},
			"main chunk":  {d.pushed(chunk, noPC, caller, 2), function{"", "stdin", 0, 0}},
		} {
			got, err := d.function(c.f)
			if err != nil || got != c.want {
				t.Errorf("%s, %s: %+v, %v, want %+v", kind, name, got, err, c.want)
			}
		}
		f := d.pushed(callee, 1, caller, 2)
		f.Addr++
		if _, err := d.function(f); !errors.Is(err, interpreter.ErrStale) {
			t.Errorf("%s: another function: %v", kind, err)
		}
	}
}

func TestSymbolize(t *testing.T) {
	t.Parallel()
	m := images()["wide"]
	callee, caller, chunk := lay(m)
	d := decoder{memory: m.memory(), layout: layout{wide: true}}
	i := &instance{names: d, cache: map[interpreter.Frame]libpf.Frame{}, known: map[interpreter.Frame]string{}}
	var got []string
	for _, f := range []interpreter.Frame{
		d.pushed(callee, 1, 0, 0), d.pushed(callee, 1, caller, 2), d.pushed(callee, 2, 0, 0), d.pushed(callee, 1, 0, 0),
		d.pushed(chunk, 1, 0, 0), {Subtype: kindTrace},
	} {
		frames, err := i.Symbolize(f, nil)
		if err != nil || len(frames) != 1 {
			t.Fatalf("%v, %v", frames, err)
		}
		got = append(got, frames[0].FunctionName)
	}
	// Once a name is known, it is used where it cannot be told.
	want := []string{"function <pond.lua:10>", "up1", "up1", "function <pond.lua:10>", "main chunk", "[trace]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := i.Symbolize(interpreter.Frame{Subtype: 9}, nil); err == nil {
		t.Error("an unknown kind is accepted")
	}
}

func TestBrokenMemory(t *testing.T) {
	t.Parallel()
	for _, m := range images() {
		callee, caller, chunk := lay(m)
		whole := m.memory()
		d := decoder{memory: whole, layout: layout{wide: m.wide}}
		frames := []interpreter.Frame{d.pushed(chunk, 1, 0, 0)}
		for pc := range uint32(18) {
			frames = append(frames, d.pushed(callee, 1, caller, pc))
		}
		for gone := range m.blocks {
			d.memory = process.NewMemoryFunc(func(b []byte, addr uint64) error {
				if addr&^(blockSize-1) == gone {
					return process.ErrMemory
				}
				return whole.Read(b, addr)
			})
			for _, f := range frames {
				_, _ = d.function(f)
			}
		}
		for seed := range uint64(100) {
			noise := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
			d.memory = process.NewMemoryFunc(func(b []byte, addr uint64) error {
				if whole.Read(b, addr) == nil && noise.IntN(3) > 0 {
					return nil
				}
				for i := range b {
					b[i] = byte(noise.Uint32())
				}
				return nil
			})
			for _, f := range frames {
				_, _ = d.function(f)
			}
		}
	}
}

func FuzzLocalName(f *testing.F) {
	f.Add([]byte("v\x00\x00\x40\x01\x00\x40late\x00\x0c\x10\x00"), uint32(3), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, pc, slot uint32) {
		if s := localName(b, pc, slot); process.Clean([]byte(s)) != s {
			t.Errorf("name is not clean: %q", s)
		}
	})
}

func FuzzFunction(f *testing.F) {
	f.Add(uint64(0x1000), uint64(0x1000)|2<<44, []byte("some memory"), false)
	f.Fuzz(func(_ *testing.T, w1, w2 uint64, memory []byte, wide bool) {
		d := decoder{layout: layout{wide: wide}, memory: process.NewMemoryFunc(func(b []byte, at uint64) error {
			if len(memory) == 0 {
				return process.ErrMemory
			}
			for i := range b {
				b[i] = memory[(at+uint64(i))%uint64(len(memory))]
			}
			return nil
		})}
		_, _ = d.function(d.pushed(w1&pointerMask<<3, uint32(w1>>pointerBits), w2&pointerMask<<3, uint32(w2>>pointerBits)))
	})
}
