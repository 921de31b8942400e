// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

const (
	// maxKallsyms bounds the number of symbols. Distribution kernels with many
	// modules have about 250,000 of code.
	maxKallsyms = 4 << 20
	// kernelHalf is where the addresses of the kernel begin, on all 64-bit
	// processors. Symbols below it are offsets of per-CPU variables.
	kernelHalf = 1 << 63
)

// kernelModule is a part of the kernel with an address range of its own: the
// kernel image, a module, or a BPF program.
type kernelModule struct {
	name       string // as in kallsyms, "" for the image
	start, end uint64
}

// kallsyms is the parsed form of /proc/kallsyms: the symbols of code.
type kallsyms struct {
	symbols []kallsym
	names   []byte
	modules []string // by number; 0 is the image
	hidden  bool     // all addresses were zero
	bad     int      // lines that made no sense
	// Where the image's code lies, from its linker symbols; 0 if they are not there.
	text, etext, inittext, einittext uint64
}

// kallsym is a symbol of code.
type kallsym struct {
	addr     uint64
	name     uint32 // offset in names
	nameSize uint16
	module   uint16
}

// parseKallsyms reads symbols of code. A text in which all addresses are zero
// is the kernel's way of refusing: hidden is set.
func parseKallsyms(r io.Reader) (*kallsyms, error) {
	k := &kallsyms{
		modules: []string{""}, hidden: true,
		// About what a kernel without modules has.
		symbols: make([]kallsym, 0, 1<<17), names: make([]byte, 0, 3<<20),
	}
	numbers := map[string]uint16{"": 0}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, errors.New("parse kallsyms: endless line")
		}
		if len(line) > 0 && !k.add(line, numbers) {
			k.bad++
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read kallsyms: %w", err)
		}
	}
	if len(k.symbols) == 0 && k.bad > 0 {
		return nil, errors.New("parse kallsyms: no symbols")
	}
	k.sort()
	return k, nil
}

// add adds a line such as
//
//	ffffffffc0211000 t nf_hook_slow	[netfilter]
//
// and reports whether it made sense.
func (k *kallsyms) add(line []byte, numbers map[string]uint16) bool {
	line = bytes.TrimRight(line, "\n")
	digits, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || len(rest) < 3 || rest[1] != ' ' {
		return false
	}
	kind := rest[0]
	addr, ok := parseHex(digits)
	if !ok {
		return false
	}
	if addr != 0 {
		k.hidden = false
	}
	switch kind {
	case 't', 'T', 'w', 'W':
	default:
		// On arm64 the end of the code counts as data.
		if rest[2] == '_' && addr >= kernelHalf {
			k.mark(rest[2:], addr)
		}
		return true
	}
	if addr < kernelHalf || len(k.symbols) >= maxKallsyms {
		return true
	}
	name, module, _ := bytes.Cut(rest[2:], []byte{'\t'})
	name = name[:min(len(name), maxName+1)]
	number, ok := numbers[string(bytes.Trim(module, "[]"))] // no allocation
	if !ok {
		if len(k.modules) > 1<<15 {
			return false
		}
		number = uint16(len(k.modules)) //nolint:gosec // bounded above
		m := string(bytes.Trim(module, "[]"))
		k.modules = append(k.modules, m)
		numbers[m] = number
	}
	if number == 0 {
		k.mark(name, addr)
	}
	k.symbols = append(k.symbols, kallsym{
		addr: addr, module: number,
		name: uint32(len(k.names)), nameSize: uint16(len(name)), //nolint:gosec // bounded by maxKallsyms and maxName
	})
	k.names = append(k.names, name...)
	return true
}

// mark notes the symbols that say where the code of the image lies.
func (k *kallsyms) mark(name []byte, addr uint64) {
	switch string(name) {
	case "_text":
		k.text = addr
	case "_stext":
		if k.text == 0 {
			k.text = addr
		}
	case "_etext":
		k.etext = addr
	case "_sinittext":
		k.inittext = addr
	case "_einittext":
		k.einittext = addr
	}
}

func (k *kallsyms) rawName(s *kallsym) []byte { return k.names[s.name:][:s.nameSize] }

// boundaries are linker symbols that share the address of the first function
// behind them and name nothing.
var boundaries = map[string]bool{
	"_text": true, "_stext": true, "__pi__text": true, "_etext": true, "_sinittext": true, "_einittext": true,
	"__entry_text_start": true, "__entry_text_end": true, "__irqentry_text_start": true, "__irqentry_text_end": true,
	"__softirqentry_text_start": true, "__softirqentry_text_end": true, "__sched_text_start": true,
	"__sched_text_end": true, "__lock_text_start": true, "__lock_text_end": true, "__kprobes_text_start": true,
	"__kprobes_text_end": true, "__noinstr_text_start": true, "__noinstr_text_end": true,
	"__cpuidle_text_start": true, "__cpuidle_text_end": true, "__static_call_text_start": true,
	"__static_call_text_end": true, "__indirect_thunk_start": true, "__indirect_thunk_end": true,
	"__exittext_begin": true, "__exittext_end": true, "__inittext_begin": true, "__inittext_end": true,
}

// sort orders the symbols by address and keeps the best one of each. Those of
// the image come in order from the kernel.
func (k *kallsyms) sort() {
	byAddr := func(a, b kallsym) int { return cmp.Compare(a.addr, b.addr) }
	if !slices.IsSortedFunc(k.symbols, byAddr) {
		slices.SortStableFunc(k.symbols, byAddr)
	}
	kept := k.symbols[:0]
	for _, s := range k.symbols {
		switch n := len(kept); {
		case n == 0 || kept[n-1].addr != s.addr:
			kept = append(kept, s)
		case k.better(&s, &kept[n-1]):
			kept[n-1] = s
		}
	}
	k.symbols = kept
}

// better reports whether a is the better name of two for an address.
func (k *kallsyms) better(a, b *kallsym) bool {
	x, y := k.rawName(a), k.rawName(b)
	if bx, by := boundaries[string(x)], boundaries[string(y)]; bx != by {
		return by
	}
	return compareNames(x, y) < 0
}

// spans returns the ranges of the symbols, each up to the next one or to the
// end of its module, whichever comes first; end tells the end of a module.
func (k *kallsyms) spans(end func(addr uint64, module string) uint64) []span {
	spans := make([]span, 0, len(k.symbols))
	for i := range k.symbols {
		s := &k.symbols[i]
		limit := end(s.addr, k.modules[s.module])
		if i+1 < len(k.symbols) {
			limit = min(limit, k.symbols[i+1].addr)
		}
		if limit > s.addr {
			spans = append(spans, span{start: s.addr, end: limit, id: uint32(i)}) //nolint:gosec // bounded by maxKallsyms
		}
	}
	return spans
}

// parseHex parses hexadecimal digits, faster than strconv does from bytes.
func parseHex(b []byte) (v uint64, ok bool) {
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// parseModules reads /proc/modules: lines such as
//
//	nf_tables 376832 0 - Live 0xffffffffc0a40000
func parseModules(r io.Reader) ([]kernelModule, error) {
	var modules []kernelModule
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20) // a line lists all users of a module
	for in.Scan() {
		fields := bytes.Fields(in.Bytes())
		if len(fields) < 6 {
			continue
		}
		size, err := strconv.ParseUint(string(fields[1]), 10, 32)
		start, ok := hexNumber(fields[5])
		if err != nil || !ok || start < kernelHalf || start+size < start {
			continue
		}
		modules = append(modules, kernelModule{name: string(fields[0]), start: start, end: start + size})
	}
	slices.SortFunc(modules, func(a, b kernelModule) int { return cmp.Compare(a.start, b.start) })
	return modules, in.Err()
}
