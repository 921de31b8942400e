// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// layout is what only a running emulator tells. It is the same in every process
// that runs the same file.
type layout struct {
	// ranges is the ELF virtual address of the tables of modules: `r` in
	// beam_ranges.c, which is static.
	ranges uint64
	// Members of ErtsSchedulerData.
	schedRegisters, schedProcess uint16
	// mainOffset is how far from the registers process_main's return address is.
	// It may differ by up to 56 from thread to thread.
	mainOffset uint32
	// Members of Process: htop, and from there, in words, stop, heap and hend.
	procBase         uint16
	stop, heap, hend uint8
	// Words of the code header.
	md5, functions uint8
}

// The line table is word 9 of the code header in every release.
const (
	headerLineTable    = 9
	maxModules         = 1 << 16
	maxFunctions       = 1 << 16
	maxData            = 16 << 20
	maxSchedulerMember = 0x200
	maxStackDistance   = 1 << 16
)

var errLayout = errors.New("memory of the emulator is not as expected")

// words is memory as words of 8 bytes.
type words []byte

func (w words) len() int { return len(w) / 8 }

func (w words) at(i int) uint64 {
	if i < 0 || i >= w.len() {
		return 0
	}
	return binary.LittleEndian.Uint64(w[i*8:])
}

func pointer(v uint64) bool { return v >= 4096 && v>>48 == 0 && v&7 == 0 }

// moduleTable is one of the three tables of modules.
type moduleTable struct{ modules, n uint64 }

// parseTable reads struct ranges: modules, n, allocated, mid. ok is false when
// it cannot be one, or is empty.
func parseTable(w words, i int) (t moduleTable, ok bool) {
	t = moduleTable{w.at(i), w.at(i + 1)}
	allocated, mid := w.at(i+2), w.at(i+3)
	return t, pointer(t.modules) && t.n > 0 && t.n <= maxModules && t.n <= allocated && allocated <= 2*maxModules &&
		mid >= t.modules && (mid-t.modules)%16 == 0 && mid-t.modules <= 16*t.n
}

// findRanges finds the tables of modules among the emulator's variables: three,
// which have been in use in turns when the emulator has started.
func findRanges(mem process.Memory, data []segment, bias uint64, active uint32) (uint64, error) {
	if active > 2 {
		return 0, errLayout
	}
	for _, s := range data {
		b, err := mem.Bytes(bias+s.start, s.size&^7, maxData)
		if err != nil {
			return 0, err
		}
		w := words(b)
		for i := 0; i+12 <= w.len(); i++ {
			var t [3]moduleTable
			all := true
			for j := range t {
				var ok bool
				t[j], ok = parseTable(w, i+4*j)
				all = all && ok
			}
			if !all {
				continue
			}
			if _, err := readModules(mem, t[active]); err == nil {
				return s.start + uint64(i)*8, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: no table of modules", interpreter.ErrNotReady)
}

// module is where the code of a module lies, which begins with its header.
type module struct{ start, end uint64 }

// readModules reads a table of modules, which is sorted.
func readModules(mem process.Memory, t moduleTable) ([]module, error) {
	b, err := mem.Bytes(t.modules, t.n*16, maxModules*16)
	if err != nil {
		return nil, err
	}
	w := words(b)
	out := make([]module, 0, t.n)
	last := uint64(0)
	for i := range int(t.n) { //nolint:gosec // bounded
		m := module{w.at(2 * i), w.at(2*i + 1)}
		if !pointer(m.start) || m.end < m.start || m.start < last {
			return nil, errLayout
		}
		last = m.end
		if m.end > m.start { // else it was purged
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return nil, errLayout
	}
	return out, nil
}

// headerMD5 is where the code header has the pointer to the MD5 sum: behind the line
// table in OTP 25 and 26; coverage took 5 words before it in OTP 27, tables for
// debuggers took 1 or 2 more in OTP 28. One word lies between it and the functions.
var headerMD5 = []uint8{10, 15, 16, 17}

// findHeader finds out where the code header has the MD5 sum and the functions: a
// table of ascending addresses of code, which begins behind it, with one more at
// its end.
func findHeader(mem process.Memory, m module) (md5, functions uint8, err error) {
	n, err := mem.Uint64(m.start)
	if err != nil {
		return 0, 0, err
	}
	if n == 0 || n > maxFunctions {
		return 0, 0, errLayout
	}
	for _, md5 := range headerMD5 {
		i := uint64(md5) + 2
		b, err := mem.Bytes(m.start+i*8, (n+1)*8, (maxFunctions+1)*8)
		if err != nil {
			return 0, 0, err
		}
		last, ok := m.start+(i+n)*8, true
		for w := words(b); ok && len(w) > 0; w = w[8:] {
			ok = w.at(0) > last && w.at(0) <= m.end
			last = w.at(0)
		}
		if ok {
			return md5, uint8(i), nil //nolint:gosec // small
		}
	}
	return 0, 0, errLayout
}

// findScheduler finds the members of a scheduler's data: `ssi, current_process,
// type, no`, where the type of a normal scheduler is 0 and the first one is
// number 1. The registers come first.
func findScheduler(mem process.Memory, at uint64) (current uint16, err error) {
	b := make([]byte, maxSchedulerMember)
	if err := mem.Read(b, at); err != nil {
		return 0, err
	}
	w := words(b)
	for i := 2; i+2 < w.len(); i++ {
		current := w.at(i)
		if pointer(w.at(i-1)) && (current == 0 || pointer(current)) && w.at(i+1)&0xffffffff == 0 && w.at(i+2) == 1 {
			return uint16(i * 8), nil
		}
	}
	return 0, errLayout
}

// findMain finds process_main's return address on the stack of the thread at
// whose foot the registers are.
func findMain(mem process.Memory, registers, ret uint64) (uint32, error) {
	for at := uint64(0); at < maxStackDistance; at += 4096 {
		b := make([]byte, 4096)
		// The end of the stack may come first.
		if err := mem.Read(b, registers+at); err != nil {
			break
		}
		w := words(b)
		for i := range w.len() {
			if w.at(i) == ret {
				return uint32(at) + uint32(i)*8, nil //nolint:gosec // bounded
			}
		}
	}
	return 0, fmt.Errorf("%w: process_main has not been called", interpreter.ErrNotReady)
}

// findProcess finds the members of Process that bound its heap and stack, by what
// must hold for any process: heap <= htop <= stop <= hend, the size of the heap
// in words, and the return address at the bottom of the stack.
func findProcess(mem process.Memory, table []byte, normalExit uint64) (layout, error) {
	votes := map[layout]int{}
	w := words(table)
	for i := range w.len() {
		if !pointer(w.at(i)) {
			continue
		}
		b := make([]byte, 2048*8)
		if mem.Read(b, w.at(i)) != nil {
			continue
		}
		tab := words(b)
		for j, tried := 0, 0; j < tab.len() && tried < 64; j++ {
			if !pointer(tab.at(j)) {
				continue
			}
			tried++
			p := make([]byte, 0x180)
			if mem.Read(p, tab.at(j)) != nil {
				continue
			}
			if l, ok := parseProcess(mem, p, normalExit); ok {
				if votes[l]++; votes[l] == 2 {
					return l, nil
				}
			}
		}
	}
	return layout{}, fmt.Errorf("%w: no process found", interpreter.ErrNotReady)
}

func parseProcess(mem process.Memory, p words, normalExit uint64) (layout, bool) {
	for i := 4; i+2 < p.len(); i++ {
		htop, stop := p.at(i), p.at(i+1)
		if !pointer(htop) || !pointer(stop) || htop > stop {
			continue
		}
		for j := i + 2; j < i+15 && j+3 < p.len(); j++ {
			heap, hend := p.at(j), p.at(j+1)
			if heap > htop || stop > hend || heap >= hend || p.at(j+3) != (hend-heap)/8 {
				continue
			}
			if bottom, err := mem.Uint64(hend - 8); err == nil && bottom == normalExit {
				return layout{
					procBase: uint16(i * 8), stop: 1, //nolint:gosec // small
					heap: uint8(j - i), hend: uint8(j - i + 1), //nolint:gosec // small
				}, true
			}
		}
	}
	return layout{}, false
}
