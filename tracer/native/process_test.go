// SPDX-License-Identifier: Apache-2.0

//go:build linux

package native

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// unwound is a frame found in a live process.
type unwound struct {
	file string
	off  uint64
	rule string
}

// process unwinds the threads of a traced process with the tables of its files.
type process struct {
	t      *testing.T
	pid    int
	mem    *os.File
	rules  *Rules
	tables map[string]*Tables
	pages  map[pageKey][]Row
	maps   []procMap
	// code is what the permissions of mappings with code have: "x", or "r" where an
	// emulator reads the code and nothing runs it.
	code string
	// special gives the rule of code that is in no file; it may be nil.
	special func(pc uint64) (rule uint16, ok bool)
}

type pageKey struct {
	path string
	page uint64
}

type procMap struct {
	lo, hi, off uint64
	path        string
}

func newProcess(t *testing.T, pid int) *process {
	t.Helper()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mem.Close() })
	return &process{
		t: t, pid: pid, mem: mem, rules: NewRules(), tables: map[string]*Tables{}, pages: map[pageKey][]Row{}, code: "x",
	}
}

// Uint64 implements [Memory].
func (p *process) Uint64(addr uint64) (uint64, bool) {
	var b [8]byte
	_, err := p.mem.ReadAt(b[:], int64(addr))
	return binary.LittleEndian.Uint64(b[:]), err == nil
}

func (p *process) readMaps() {
	p.t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", p.pid))
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	p.maps = p.maps[:0]
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var m procMap
		var perms, dev string
		var inode uint64
		n, _ := fmt.Sscanf(sc.Text(), "%x-%x %s %x %s %d %s", &m.lo, &m.hi, &perms, &m.off, &dev, &inode, &m.path)
		if n == 7 && strings.Contains(perms, p.code) {
			p.maps = append(p.maps, m)
		}
	}
}

// open returns the tables of the file of a mapping.
func (p *process) open(m procMap) *Tables {
	if t, ok := p.tables[m.path]; ok {
		return t
	}
	p.tables[m.path] = nil
	var f *pfelf.File
	var err error
	if m.path == "[vdso]" {
		image := make([]byte, m.hi-m.lo)
		if _, err = p.mem.ReadAt(image, int64(m.lo)); err == nil {
			f, err = pfelf.NewFile(strings.NewReader(string(image)), int64(len(image)))
		}
	} else {
		f, err = pfelf.Open(m.path)
	}
	if err != nil {
		p.t.Logf("%s: %v", m.path, err)
		return nil
	}
	p.t.Cleanup(func() { _ = f.Close() })
	t, err := Open(f, p.rules)
	if err != nil {
		p.t.Logf("%s: %v", m.path, err)
		return nil
	}
	p.tables[m.path] = t
	return t
}

// unwindFrom returns the frames from those registers on, leaf first.
func (p *process) unwindFrom(s Stepper, r Registers) ([]unwound, End) {
	p.t.Helper()
	s.Memory, s.Rules = p, p.rules
	var frames []unwound
	for range 2000 {
		pc := r.LookupPC()
		if p.special != nil {
			if rule, ok := p.special(pc); ok {
				frames = append(frames, unwound{off: pc, rule: p.format(rule)})
				if end := s.Step(rule, &r); end != EndNone {
					return frames, end
				}
				continue
			}
		}
		m, ok := p.find(pc)
		if !ok {
			return append(frames, unwound{off: pc, rule: "unmapped"}), EndCorrupt
		}
		off := pc - m.lo + m.off
		rule := p.rule(m, off)
		frames = append(frames, unwound{m.path, off, p.format(rule)})
		if end := s.Step(rule, &r); end != EndNone {
			return frames, end
		}
	}
	return frames, EndNoProgress
}

// rule returns the rule for an offset in the file of a mapping.
func (p *process) rule(m procMap, off uint64) uint16 {
	p.t.Helper()
	t := p.open(m)
	if t == nil {
		return RuleInvalid
	}
	key := pageKey{m.path, off >> PageShift}
	rows, ok := p.pages[key]
	if !ok {
		var err error
		if rows, err = t.Page(key.page); err != nil {
			p.t.Error(err)
		}
		p.pages[key] = rows
	}
	return Lookup(rows, uint16(off&(PageSize-1)))
}

func (p *process) format(rule uint16) string {
	if i := int(rule &^ ruleIndexed); rule&ruleIndexed != 0 && i >= FirstRule {
		return p.rules.At(i).String()
	}
	return FormatRule(rule)
}

func (p *process) find(pc uint64) (procMap, bool) {
	for _, m := range p.maps {
		if pc >= m.lo && pc < m.hi {
			return m, true
		}
	}
	return procMap{}, false
}

// symbols names addresses of a file, for messages and comparisons.
type symbols []elf.Symbol

func loadSymbols(path string) symbols {
	f, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	syms, _ := f.Symbols()
	dyn, _ := f.DynamicSymbols()
	syms = append(syms, dyn...)
	for i := range syms { // to file offsets
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && syms[i].Value >= p.Vaddr && syms[i].Value-p.Vaddr < p.Filesz {
				syms[i].Value += p.Off - p.Vaddr
				break
			}
		}
	}
	out := make(symbols, 0, len(syms))
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Value < out[j].Value })
	return out
}

func (s symbols) name(off uint64) string {
	i := sort.Search(len(s), func(i int) bool { return s[i].Value > off })
	if i == 0 {
		return fmt.Sprintf("+%#x", off)
	}
	return s[i-1].Name
}

// names turns frames into function names.
func names(cache map[string]symbols, frames []unwound) []string {
	out := make([]string, 0, len(frames))
	for _, f := range frames {
		s, ok := cache[f.file]
		if !ok {
			s = loadSymbols(f.file)
			cache[f.file] = s
		}
		out = append(out, filepath.Base(f.file)+"!"+s.name(f.off))
	}
	return out
}

// stepped counts what a test finds that steps through a program.
type stepped struct {
	steps, bad int
}

// wrong reports a stack, leaf first; of many only the first ones.
func (s *stepped) wrong(t *testing.T, problem string, frames []unwound, list []string) {
	t.Helper()
	if s.bad++; s.bad >= 10 {
		return
	}
	slices.Reverse(list)
	last := frames[len(frames)-1]
	t.Errorf("%s: %s+%#x by %q: %s", problem, last.file, last.off, last.rule, strings.Join(list, ";"))
}

// done ends the test: a program that was not stepped through says nothing.
func (s *stepped) done(t *testing.T) {
	t.Helper()
	t.Logf("%d instructions, %d of them bad", s.steps, s.bad)
	if s.steps < 2000 {
		t.Error("too few instructions")
	}
}
