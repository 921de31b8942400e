// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"fmt"
	"sort"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Every function begins with ErtsCodeInfo: two words, then module, name and arity.
const (
	infoMFA  = 16
	maxArity = 255
	// maxCached bounds the functions of the modules that are kept, 8 bytes each.
	maxCached = 1 << 18
	// maxFiles bounds the names of files that are kept per module.
	maxFiles = 64
)

// code is what is known of a module.
type code struct {
	cookie    uint64
	functions []uint64
	lines     lineTable
	hasLines  bool
	files     map[uint32]string
}

type moduleCache map[uint64]*code

// Symbolize implements [interpreter.Instance].
func (in *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	switch f.Subtype {
	case frameSharedCode:
		return append(out, libpf.Frame{Type: libpf.BEAMFrame, FunctionName: "[shared code]"}), nil
	case frameProcessMain:
		return append(out, libpf.Frame{Type: libpf.BEAMFrame, FunctionName: "process_main"}), nil
	case frameFunction:
	default:
		return nil, fmt.Errorf("frame of kind %d: %w", f.Subtype, errLayout)
	}
	header, want := f.Addr, f.W1>>offsetBits<<offsetBits
	pc := header + f.W1&(1<<offsetBits-1)
	c, err := in.code(header, want)
	if err != nil {
		return nil, err
	}
	i := sort.Search(len(c.functions), func(i int) bool { return c.functions[i] > pc }) - 1
	if i < 0 || i >= len(c.functions)-1 {
		return nil, fmt.Errorf("no function at the address: %w", interpreter.ErrStale)
	}
	mfa := make(words, 24)
	if err := in.mem.Read(mfa, c.functions[i]+infoMFA); err != nil {
		return nil, err
	}
	module, err := in.atom(mfa.at(0))
	if err != nil {
		return nil, err
	}
	function, err := in.atom(mfa.at(1))
	if err != nil {
		return nil, err
	}
	if mfa.at(2) > maxArity {
		return nil, fmt.Errorf("arity: %w", errLayout)
	}
	// The function's place stands for those without lines.
	frame := libpf.Frame{
		Type: libpf.BEAMFrame, AddressOrLineno: libpf.AddressOrLineno(c.functions[i] - header),
		FunctionName: functionName(module, function, mfa.at(2)),
	}
	if c.hasLines {
		if loc, ok := in.location(c, i, pc); ok {
			frame.SourceLine = libpf.SourceLineno(loc & (1<<24 - 1))
			frame.AddressOrLineno = libpf.AddressOrLineno(frame.SourceLine)
			frame.SourceFile = in.file(c, module, loc>>24)
		}
	}
	// What was read is the function's only if it has not been replaced meanwhile.
	if cookie(in.mem, header, in.layout.md5) != want {
		delete(in.modules, header)
		return nil, interpreter.ErrStale
	}
	return append(out, frame), nil
}

// code returns the tables of a module, from memory where they are not known.
func (in *instance) code(header, want uint64) (*code, error) {
	if c := in.modules[header]; c != nil && c.cookie == want {
		return c, nil
	}
	if cookie(in.mem, header, in.layout.md5) != want {
		return nil, interpreter.ErrStale
	}
	n, err := in.mem.Uint64(header)
	if err != nil {
		return nil, err
	}
	if n >= maxFunctions { // before it is multiplied, which could overflow
		return nil, fmt.Errorf("%d functions: %w", n, errLayout)
	}
	b, err := in.mem.Bytes(header+uint64(in.layout.functions)*8, (n+1)*8, maxFunctions*8)
	if err != nil {
		return nil, err
	}
	c := &code{cookie: want, functions: make([]uint64, n+1)}
	last := uint64(0)
	for i := range c.functions {
		c.functions[i] = words(b).at(i)
		if c.functions[i] < last {
			return nil, fmt.Errorf("functions: %w", errLayout)
		}
		last = c.functions[i]
	}
	if lines, err := in.mem.Uint64(header + headerLineTable*8); err == nil {
		c.lines, c.hasLines = readLineTable(in.mem, lines, n)
	}
	if in.cached += len(c.functions); in.modules == nil || in.cached > maxCached {
		in.modules, in.cached = moduleCache{}, len(c.functions)
	}
	in.modules[header] = c
	return c, nil
}

// location finds the line that an address belongs to: the last entry of the
// function that is not behind it. The upper 8 bits are the file.
func (in *instance) location(c *code, function int, pc uint64) (uint32, bool) {
	part := make(words, 16)
	if in.mem.Read(part, c.lines.at+lineTableFunctions+uint64(function)*8) != nil { //nolint:gosec // an index
		return 0, false
	}
	low, high := part.at(0), part.at(1)
	if low < c.lines.first || high < low || high-low > 8*maxFunctions {
		return 0, false
	}
	n := int((high - low) / 8) //nolint:gosec // bounded
	i := sort.Search(n, func(i int) bool {
		at, err := in.mem.Uint64(low + uint64(i)*8) //nolint:gosec // an index
		return err != nil || at > pc
	}) - 1
	if i < 0 {
		return 0, false
	}
	index := (low-c.lines.first)/8 + uint64(i) //nolint:gosec // an index
	if index >= c.lines.n {
		return 0, false
	}
	var loc uint32
	switch c.lines.size {
	case 2:
		v, err := in.mem.Uint16(c.lines.locs + index*2)
		if err != nil {
			return 0, false
		}
		loc = uint32(v)
	case 4:
		v, err := in.mem.Uint32(c.lines.locs + index*4)
		if err != nil {
			return 0, false
		}
		loc = v
	}
	return loc, loc != 0
}

// file names a source file. Number 0 is the one that the module is named after.
func (in *instance) file(c *code, module string, number uint32) string {
	if s, ok := c.files[number]; ok {
		return s
	}
	name := ""
	if term, err := in.mem.Uint64(c.lines.fnames + uint64(number)*8); err == nil {
		name = readString(in.mem, term)
	}
	if name == "" {
		name = module + ".erl"
	}
	if c.files == nil || len(c.files) >= maxFiles {
		c.files = map[uint32]string{}
	}
	c.files[number] = name
	return name
}
