// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// functionBytes is the size of an entry of the table of functions: begin, end on
// x86-64, and place of the unwind information.
var functionBytes = func() uint32 {
	if runtime.GOARCH == "arm64" {
		return 8
	}
	return 12
}()

// Sections of the ReadyToRun header; docs/design/coreclr/botr/readytorun-format.md
// of the runtime's sources.
const (
	readyMagic            = 0x00525452 // "RTR"
	sectionMethodEntries  = 103
	sectionGenericEntries = 109
	maxReadySections      = 64
	maxEntries            = 1 << 20
	maxReadySection       = 32 << 20
)

// entry is where a method begins: the number of its first function. Either rid is a
// row of the assembly's methods, or signature tells the method of a generic type.
type entry struct {
	function       uint32
	rid, signature uint32
}

// entryTable is sorted by function.
type entryTable struct{ entries []entry }

// imageKey tells an image from others: the build's stamp is a hash of its content.
type imageKey struct{ stamp, size, count uint32 }

// imageCache shares the tables of images among the processes that load them. It is
// safe for concurrent use.
type imageCache struct {
	mu     sync.Mutex
	tables map[imageKey]*entryTable
}

// maxCachedTables bounds the cache; a table takes 12 bytes per method.
const maxCachedTables = 256

func (c *imageCache) get(img *image) (*entryTable, error) {
	key := imageKey{img.stamp, img.size, img.count}
	c.mu.Lock()
	t := c.tables[key]
	c.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := readEntries(img)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables == nil || len(c.tables) >= maxCachedTables {
		c.tables = map[imageKey]*entryTable{}
	}
	c.tables[key] = t
	return t, nil
}

var errNotReadyToRun = errors.New("image has no table of compiled methods")

// functionName names a function that was compiled ahead of time, by its start.
func (i *instance) functionName(addr uint64, cookie uint32) (string, error) {
	s, err := findSection(i.mem, i.layout, i.sections, addr)
	if err != nil {
		return "", err
	}
	if !s.isImage(i.layout) {
		return "", interpreter.ErrStale
	}
	img, err := i.imageAt(s.begin)
	if err != nil {
		return "", err
	}
	if img.entries == nil {
		if img.entries, err = i.images.get(img); err != nil {
			return "", err
		}
	}
	index, err := img.function(addr, cookie)
	if err != nil {
		return "", err
	}
	e, ok := img.entries.find(index)
	if !ok {
		return "", errNotReadyToRun
	}
	if e.rid != 0 {
		return img.meta.fullMethodName(e.rid, "")
	}
	return img.genericName(e.signature)
}

// function returns the number of the function that begins at an address.
func (img *image) function(addr uint64, cookie uint32) (uint32, error) {
	rva := addr - img.base
	lo, hi := uint32(0), img.count
	var b [12]byte
	le := binary.LittleEndian
	for lo < hi {
		mid := lo + (hi-lo)/2
		if err := img.mem.Read(b[:functionBytes], img.functions+uint64(mid)*uint64(functionBytes)); err != nil {
			return 0, err
		}
		switch begin := le.Uint32(b[:]); {
		case uint64(begin) == rva:
			end, unwind := le.Uint32(b[4:]), le.Uint32(b[8:])
			now := mix(uint64(end), uint64(unwind), uint64(begin))
			if functionBytes == 8 {
				now = mix(uint64(end), uint64(begin), 0)
			}
			if now != cookie {
				return 0, interpreter.ErrStale
			}
			return mid, nil
		case uint64(begin) < rva:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, interpreter.ErrStale
}

// find returns the method that a function is a part of: its handlers of exceptions
// are functions of their own that follow it.
func (t *entryTable) find(function uint32) (entry, bool) {
	n, found := slices.BinarySearchFunc(t.entries, function, func(e entry, f uint32) int { return cmp.Compare(e.function, f) })
	if !found {
		n--
	}
	if n < 0 {
		return entry{}, false
	}
	return t.entries[n], true
}

// readEntries reads which method begins at which function.
func readEntries(img *image) (*entryTable, error) {
	if img.header == 0 {
		return nil, errNotReadyToRun
	}
	var head [16]byte
	at := img.addr(img.header)
	if err := img.mem.Read(head[:], at); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint32(head[:]) != readyMagic {
		return nil, fmt.Errorf("%w: no ReadyToRun header", errImage)
	}
	t := &entryTable{}
	for k := range min(uint64(le.Uint32(head[12:])), maxReadySections) {
		var s [12]byte
		if err := img.mem.Read(s[:], at+16+12*k); err != nil {
			return nil, err
		}
		kind, rva, size := le.Uint32(s[:]), le.Uint32(s[4:]), le.Uint32(s[8:])
		if kind != sectionMethodEntries && kind != sectionGenericEntries {
			continue
		}
		b, err := img.mem.Bytes(img.addr(rva), uint64(size), maxReadySection)
		if err != nil {
			return nil, err
		}
		r := nativeReader{b: b, start: rva}
		if kind == sectionMethodEntries {
			t.readMethods(&r)
		} else {
			t.readGenerics(&r)
		}
	}
	slices.SortFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.function, b.function) })
	return t, nil
}

func (t *entryTable) readMethods(r *nativeReader) {
	r.array(func(index, at uint32) {
		if f, ok := r.entryPoint(at); ok && len(t.entries) < maxEntries {
			t.entries = append(t.entries, entry{function: f, rid: index + 1})
		}
	})
}

func (t *entryTable) readGenerics(r *nativeReader) {
	r.table(func(at uint32) {
		s := signature{b: r.rest(at)}
		s.method(nil)
		if s.bad {
			return
		}
		if f, ok := r.entryPoint(at + uint32(s.at)); ok && len(t.entries) < maxEntries { //nolint:gosec // within the section
			t.entries = append(t.entries, entry{function: f, signature: at})
		}
	})
}

// genericName reads the name of a method of a generic type from its signature.
func (img *image) genericName(rva uint32) (string, error) {
	b := make([]byte, 512)
	for ; len(b) > 16; b = b[:len(b)/2] {
		if img.mem.Read(b, img.addr(rva)) == nil {
			break
		}
	}
	s := signature{b: b}
	name := s.method(img.meta)
	if s.bad {
		return "", fmt.Errorf("%w: signature of a method", errMetadata)
	}
	return cut(name), nil
}

// Flags of a method's signature.
const (
	signatureMethodArguments = 0x04
	signatureSlot            = 0x08
	signatureMemberRef       = 0x10
	signatureConstrained     = 0x20
	signatureOwner           = 0x40
	signatureContext         = 0x80
)

// method reads a method and returns its name. Without metadata it is only skipped.
func (s *signature) method(meta *metadata) string {
	s.meta = meta
	flags := s.number()
	if flags&signatureContext != 0 {
		s.number()
		s.meta = nil
	}
	tokens := s.meta
	owner := ""
	if flags&signatureOwner != 0 {
		owner = s.typ(0)
		s.meta = tokens
	}
	token := s.number()
	var args []string
	if flags&signatureMethodArguments != 0 {
		args = s.list(0)
	}
	if flags&signatureConstrained != 0 {
		s.typ(0)
	}
	if s.bad || tokens == nil {
		return join(owner, unknownType)
	}
	name, err := tokens.member(token, flags, owner)
	if err != nil {
		name = join(owner, unknownType)
	}
	if len(args) > 0 {
		name += "<" + strings.Join(args, ", ") + ">"
	}
	return name
}

// member names a method by its token. owner is its type's name when it is known.
func (m *metadata) member(rid, flags uint32, owner string) (string, error) {
	if flags&signatureSlot != 0 {
		return join(owner, unknownType), nil
	}
	if flags&signatureMemberRef == 0 {
		return m.fullMethodName(rid, owner)
	}
	row, err := m.row(tableMemberRef, rid)
	if err != nil {
		return "", err
	}
	name, err := m.text(row[1])
	if err != nil {
		return "", err
	}
	if owner == "" {
		coded := map[uint32]uint32{0: 0, 1: 1, 4: 2}
		if tag, ok := coded[row[0]&7]; ok {
			if owner, err = m.token(row[0]>>3<<2|tag, 0); err != nil {
				return "", err
			}
		}
	}
	return join(owner, name), nil
}
