// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

var versions = []version{205, 206, 207, 300, 301, 302, 303, 304, 400}

// frame makes the words that the eBPF program would push.
func (m *image) frame(iseq, me, position uint64) interpreter.Frame {
	l := &m.lib.layout
	word := func(at uint64) uint64 { return binary.LittleEndian.Uint64(m.b[at-imageBase:]) }
	body := word(iseq + offISeqBody)
	first := word(body + offFirstLine)
	if !l.wideLine {
		first &= 1<<32 - 1
	}
	h := mix(mix(mix(word(body), word(body+offPath)), word(body+offLabel)), first)
	return interpreter.Frame{Subtype: frameISeq, Addr: iseq, W1: position<<40 | h>>24, W2: me&(1<<48-1) | h<<48}
}

func (m *image) cframe(me uint64) interpreter.Frame {
	word := func(at uint64) uint64 { return binary.LittleEndian.Uint64(m.b[at-imageBase:]) }
	return interpreter.Frame{
		Subtype: frameCFunc, Addr: me,
		W1: mix(mix(mix(1, word(me+16)), word(me+24)), word(me+32)),
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		m := newImage(v)
		table, ids := m.symbols("each", varPath, varAttached, "a_method_with_quite_a_long_name")
		vars := ids[1:3]
		orchard := m.class(typeClass, "Fruit::Orchard", 0, vars)
		single := m.class(typeClass, "", orchard, vars)
		module := m.class(typeModule, "Kernel", 0, vars)
		lines := []uint32{10, 11, 12, 14}

		pick := m.sequence(iseqMethod, "pick", 10, lines)
		block := m.sequence(iseqBlock, "block in pick", 11, lines)
		binary.LittleEndian.PutUint64(m.b[binary.LittleEndian.Uint64(m.b[block+offISeqBody-imageBase:])+m.lib.layout.local-imageBase:], pick)
		eval := m.sequence(iseqEval, "<compiled>", 1, lines)
		binary.LittleEndian.PutUint64(m.b[binary.LittleEndian.Uint64(m.b[eval+offISeqBody-imageBase:])+m.lib.layout.local-8-imageBase:], pick)
		binary.LittleEndian.PutUint64(m.b[binary.LittleEndian.Uint64(m.b[eval+offISeqBody-imageBase:])+m.lib.layout.local-imageBase:], pick)
		main := m.sequence(7, "<main>", 1, lines[:1])
		me := m.method(methodISeq, orchard, ids[0], pick)
		svar := m.words(typeIMemo|imemoSvar<<flagShift, me)
		other := m.method(methodISeq, orchard, ids[0], main)

		i := m.instance()
		i.symbols = table
		const long = "/app/with/a/long/path/to/a.rb"
		for name, c := range map[string]struct {
			f    interpreter.Frame
			want libpf.Frame
		}{
			"method":          {m.frame(pick, me, 3), libpf.Frame{FunctionName: "Fruit::Orchard#pick", SourceFile: long, SourceLine: 11}},
			"start":           {m.frame(pick, me, 0), libpf.Frame{FunctionName: "Fruit::Orchard#pick", SourceFile: long, SourceLine: 10}},
			"far":             {m.frame(pick, me, 900), libpf.Frame{FunctionName: "Fruit::Orchard#pick", SourceFile: long, SourceLine: 14}},
			"no position":     {m.frame(pick, me, noPosition), libpf.Frame{FunctionName: "Fruit::Orchard#pick", SourceFile: long, SourceLine: 10}},
			"svar":            {m.frame(pick, svar, 3), libpf.Frame{FunctionName: "Fruit::Orchard#pick", SourceFile: long, SourceLine: 11}},
			"block":           {m.frame(block, me, 5), libpf.Frame{FunctionName: "block in Fruit::Orchard#pick", SourceFile: long, SourceLine: 12}},
			"eval":            {m.frame(eval, me, 5), libpf.Frame{FunctionName: "Fruit::Orchard#pick", SourceFile: long, SourceLine: 12}},
			"another method":  {m.frame(pick, other, 3), libpf.Frame{FunctionName: "pick", SourceFile: long, SourceLine: 11}},
			"no method":       {m.frame(pick, 0, 3), libpf.Frame{FunctionName: "pick", SourceFile: long, SourceLine: 11}},
			"one line":        {m.frame(main, 0, 3), libpf.Frame{FunctionName: "<main>", SourceFile: long, SourceLine: 10}},
			"method in C":     {m.cframe(m.method(methodCFunc, orchard, ids[0], 0)), libpf.Frame{FunctionName: "Fruit::Orchard#each"}},
			"of a class":      {m.cframe(m.method(methodCFunc, single, ids[3], 0)), libpf.Frame{FunctionName: "Fruit::Orchard.a_method_with_quite_a_long_name"}},
			"of a module":     {m.cframe(m.method(methodCFunc, module, ids[0], 0)), libpf.Frame{FunctionName: "Kernel#each"}},
			"operator":        {m.cframe(m.method(methodCFunc, module, bang, 0)), libpf.Frame{FunctionName: "Kernel#!"}},
			"unknown symbol":  {m.cframe(m.method(methodCFunc, module, 9<<40, 0)), libpf.Frame{FunctionName: "Kernel#(unnamed)"}},
			"class without a": {m.cframe(m.method(methodCFunc, 8, ids[0], 0)), libpf.Frame{FunctionName: "each"}},
		} {
			got, err := i.Symbolize(c.f, nil)
			if err != nil {
				t.Errorf("%d: %s: %v", v, name, err)
				continue
			}
			c.want.Type = libpf.RubyFrame
			if d := cmp.Diff([]libpf.Frame{c.want}, got, cmpopts.EquateComparable(libpf.FileID{})); d != "" {
				t.Errorf("%d: %s:\n%s", v, name, d)
			}
		}

		// What a frame pointed to has become something else.
		f := m.frame(pick, me, 3)
		m.put32(binary.LittleEndian.Uint64(m.b[pick+offISeqBody-imageBase:])+offBodySize, 7)
		if _, err := i.Symbolize(f, nil); !errors.Is(err, interpreter.ErrStale) {
			t.Errorf("%d: changed sequence: %v", v, err)
		}
		f = m.cframe(me)
		m.put(me+32, module)
		if _, err := i.Symbolize(f, nil); !errors.Is(err, interpreter.ErrStale) {
			t.Errorf("%d: changed method: %v", v, err)
		}
		m.put(me, typeString)
		if _, err := i.Symbolize(f, nil); !errors.Is(err, interpreter.ErrStale) {
			t.Errorf("%d: method is no method: %v", v, err)
		}
		if _, err := i.Symbolize(interpreter.Frame{Subtype: 31}, nil); err == nil {
			t.Errorf("%d: unknown subtype is accepted", v)
		}
	}
}

func TestFindSymbols(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		m := newImage(v)
		_, _ = m.symbols("x")
		table, ids := m.symbols("each")
		// The first table is a decoy: its array is none.
		m.put(imageBase+8, 0)
		m.lib.data = []span{{table - 80, table + 800}}
		i := m.instance()
		if s := i.symbol(ids[0]); s != "each" {
			t.Errorf("%d: symbol is %q", v, s)
		}
		if at := m.lib.symbols.Load(); at != table {
			t.Errorf("%d: table is at 0x%x, want 0x%x", v, at, table)
		}
		again := m.instance()
		if s := again.symbol(ids[0]); s != "each" || again.searched != 0 {
			t.Errorf("%d: second process: symbol is %q, %d searches", v, s, again.searched)
		}
		m.lib.symbols.Store(0)
		m.lib.data = []span{{imageBase, imageBase + 64}}
		none := m.instance()
		for range 10 {
			none.symbol(ids[0])
		}
		if none.searched != maxSearches {
			t.Errorf("%d: searched %d times", v, none.searched)
		}
	}
}

func TestSuccinctIndex(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		const limit = 1500
		m := newImage(301)
		var positions []uint64
		for p := range uint64(limit) {
			if rnd.IntN(4) == 0 || p == 0 {
				positions = append(positions, p)
			}
			if p < immediatePositions && len(positions) > 100 {
				break
			}
		}
		table := m.succinct(positions, limit)
		i := m.instance()
		n := uint64(0)
		for p := range uint64(limit) {
			if n < uint64(len(positions)) && positions[n] == p {
				n++
			}
			if got, ok := i.rank(table, p); !ok || got != n {
				t.Fatalf("rank of %d is %d, want %d", p, got, n)
			}
		}
	}
}

// TestBrokenMemory names frames in memory that is random, or ends anywhere.
func TestBrokenMemory(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			m := newImage(v)
			table, ids := m.symbols("each", varPath, varAttached)
			class := m.class(typeClass, "C", 0, ids[1:3])
			single := m.class(typeClass, "", class, ids[1:3])
			iseq := m.sequence(iseqBlock, "block in f", 10, []uint32{1, 2, 3})
			me := m.method(methodISeq, single, ids[0], iseq)
			frames := []interpreter.Frame{m.frame(iseq, me, 3), m.cframe(me)}
			used := int(m.next - imageBase) //nolint:gosec // small
			if seed%2 == 0 {
				m.b = m.b[:rnd.IntN(used)]
			} else {
				for range 60 {
					m.b[rnd.IntN(used)] ^= byte(1 << rnd.IntN(8))
				}
			}
			i := m.instance()
			i.symbols = table
			m.lib.data = []span{{imageBase, m.next}}
			for _, f := range frames {
				_, _ = i.Symbolize(f, nil)
			}
			i.symbols = 0
			_ = i.symbol(ids[0])
		}
	}
}

// FuzzSymbolize names frames in memory that repeats what the fuzzer makes up.
func FuzzSymbolize(f *testing.F) {
	m := newImage(301)
	_, ids := m.symbols("each", varPath, varAttached)
	class := m.class(typeClass, "C", 0, ids[1:3])
	iseq := m.sequence(iseqMethod, "f", 10, []uint32{1, 2, 3})
	m.method(methodISeq, class, ids[0], iseq)
	f.Add(m.b[:512], uint16(301), uint64(imageBase+64), uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, v uint16, addr, w1, w2 uint64) {
		if len(b) == 0 {
			return
		}
		reads := 0
		mem := process.NewMemoryFunc(func(to []byte, at uint64) error {
			if reads++; reads > 1<<16 {
				t.Fatal("reads without end")
			}
			for i := range to {
				to[i] = b[(at+uint64(i))%uint64(len(b))] //nolint:gosec // small
			}
			return nil
		})
		l := layoutOf(versions[int(v)%len(versions)])
		i := &instance{
			lib: &library{layout: l, data: []span{{4096, 4096 + uint64(len(b))}}},
			mem: objects{mem, l.shortLength}, ids: map[uint64]string{}, classes: map[uint64]string{},
		}
		addr &= 1<<48 - 1
		for _, subtype := range []uint8{frameISeq, frameCFunc} {
			_, _ = i.Symbolize(interpreter.Frame{Subtype: subtype, Addr: addr, W1: w1, W2: w2}, nil)
		}
		// Behind the check of the content, too.
		i.qualify("block in f", iseqBlock, addr, addr, w2&(1<<48-1))
		_, _, _, _ = i.around(addr)
		_ = i.path(w1)
		_ = i.lineAt(addr, w1>>40)
		_ = i.owner(w2)
		_ = i.symbol(w1)
	})
}
