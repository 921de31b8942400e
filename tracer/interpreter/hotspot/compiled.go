// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"fmt"
	"sort"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Bounds on the description of a compiled method.
const (
	maxPcs     = 1 << 22 // bytes of places
	maxScopes  = 1 << 24 // bytes of scopes
	maxInlined = 256     // methods inlined into each other
	scopeBytes = 16      // three numbers of at most 5 bytes
)

// parts says where the parts of a compiled method's description are.
type parts struct {
	method      uint64
	pcs, pcsEnd uint64
	scopes      uint64
	scopesSize  uint64
	metadata    uint64
}

// partsOf finds the parts of a compiled method from its header.
func (l *layout) partsOf(h []byte, addr uint64) (p parts, err error) {
	n := &l.nmethod
	p.method = n.method.in(h)
	base, end := addr, n.endOffset.in(h)
	if n.base == partsInImmutable {
		base, end = n.immutableData.in(h), n.immutableSize.in(h)
	}
	p.pcs, p.pcsEnd = base+n.scopesPcs.in(h), base+n.scopesPcsEnd.in(h)
	p.scopes = base + n.scopesData.in(h)
	if n.scopesDataAddr {
		p.scopes = n.scopesData.in(h)
	}
	switch {
	case n.metadata.there() && n.base == partsInBlob:
		p.metadata = addr + n.metadata.in(h)
	case n.metadata.there(): // 23 and 24
		p.metadata = addr + l.codeBlob.dataOffset.in(h) + n.metadata.in(h)
	default:
		p.metadata = l.codeBlob.mutableData.in(h) + l.codeBlob.relocationSize.in(h)
	}
	if p.pcsEnd < p.pcs || p.pcsEnd-p.pcs > maxPcs || p.scopes > base+end {
		return p, fmt.Errorf("%w: parts of a compiled method", errFrame)
	}
	p.scopesSize = min(base+end-p.scopes, maxScopes)
	return p, nil
}

// compiled appends the frames of a place in a compiled method: that method, and
// before it those that are inlined there.
func (i *instance) compiled(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	l := i.layout
	h := make([]byte, l.nmethod.size)
	if err := i.memory.Read(h, f.Addr); err != nil {
		return out, fmt.Errorf("read compiled method: %w", err)
	}
	if uint32(l.nmethod.compileID.in(h)) != uint32(f.W1>>32) { //nolint:gosec // its width
		return out, interpreter.ErrStale
	}
	p, err := l.partsOf(h, f.Addr)
	if err != nil {
		return out, err
	}
	exact := f.W1&(1<<31) != 0
	pc := int32(f.W1 & 0x7fffffff) //nolint:gosec // 31 bits
	if exact && pc < l.frameComplete(h) {
		// Before its frame is whole, it is on none of what it inlined.
		return i.plainMethod(p.method, 0, out)
	}
	scope, found, err := i.findScope(p, pc, exact)
	if err != nil {
		return out, err
	}
	if !found {
		return i.plainMethod(p.method, noBytecode, out)
	}
	frames := out
	for range maxInlined {
		c := compressed{skip: l.unsigned5Skip}
		if uint64(scope) >= p.scopesSize {
			return out, fmt.Errorf("%w: scope at %d of %d", errFrame, scope, p.scopesSize)
		}
		if c.b, err = i.memory.Bytes(p.scopes+uint64(scope), min(scopeBytes, p.scopesSize-uint64(scope)), scopeBytes); err != nil {
			return out, fmt.Errorf("read scope: %w", err)
		}
		sender, index := c.uint(), c.uint()
		bytecode := int(c.uint()) - 1 // -1 is the entry
		if c.failed {
			return out, fmt.Errorf("%w: scope", errFrame)
		}
		addr := p.method
		if index != 0 {
			if index > maxPcs {
				return out, fmt.Errorf("%w: method %d", errFrame, index)
			}
			if addr, err = i.memory.Uint64(p.metadata + uint64(index-1)*8); err != nil {
				return out, fmt.Errorf("read method of scope: %w", err)
			}
		}
		m, err := i.method(addr)
		if err != nil {
			return out, err
		}
		frames = append(frames, m.frame(max(bytecode, 0)))
		if sender == 0 {
			return frames, nil
		}
		scope = sender
	}
	return out, fmt.Errorf("%w: scopes do not end", errFrame)
}

// frameComplete returns from which offset in the code a method has its frame; -1 is
// never.
func (l *layout) frameComplete(h []byte) int32 {
	v := l.codeBlob.frameComplete.in(h)
	if l.codeBlob.frameComplete.size == 2 {
		return int32(int16(v)) //nolint:gosec // its type
	}
	return int32(v) //nolint:gosec // its type
}

// plainMethod appends a frame of the method itself.
func (i *instance) plainMethod(addr uint64, bytecode int, out []libpf.Frame) ([]libpf.Frame, error) {
	m, err := i.method(addr)
	if err != nil {
		return out, err
	}
	return append(out, m.frame(bytecode)), nil
}

// findScope finds the scope of a place, as an offset. A return address has an entry
// of its own. Elsewhere only calls, safepoints and implicit checks have entries: the
// next one tells best.
func (i *instance) findScope(p parts, pc int32, exact bool) (scope uint32, found bool, err error) {
	d := &i.layout.pcDesc
	n := int((p.pcsEnd - p.pcs) / d.size) //nolint:gosec // bounded by maxPcs
	b := make([]byte, d.size)
	read := func(k int) int32 {
		if err != nil {
			return 0
		}
		if err = i.memory.Read(b, p.pcs+uint64(k)*d.size); err != nil { //nolint:gosec // below n
			err = fmt.Errorf("read places of compiled method: %w", err)
		}
		return int32(d.pcOffset.in(b)) //nolint:gosec // its type
	}
	want := pc
	if exact {
		want++
	}
	k := sort.Search(n, func(k int) bool { return read(k) >= want })
	if err != nil || k == n {
		return 0, false, err
	}
	at := read(k)
	scope = uint32(d.scopeDecode.in(b)) //nolint:gosec // its width
	// The last entry, and the first, are marks of the ends.
	return scope, scope != 0 && at >= 0 && at < 1<<30, err
}
