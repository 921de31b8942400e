// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Classification of a method descriptor, in the lowest bits of its flags.
const (
	methodArray     = 4
	methodGeneric   = 5
	methodDynamic   = 7
	methodKindMask  = 7
	methodFixedBits = 0x0007ffff00ff0fff // as in support/ebpf/dotnet.bpf.c
)

var errNoImage = errors.New("assembly of the method is not in memory")

// method is what a method descriptor says.
type method struct {
	kind  int
	token uint32
	typ   uint64
}

// readMethod reads a method descriptor, and its cookie as the eBPF program does.
func (i *instance) readMethod(addr uint64) (m method, cookie uint32, err error) {
	word, err := i.mem.Uint64(addr)
	if err != nil {
		return m, 0, err
	}
	chunk := addr - (word>>16&255)*methodAlignment - chunkHeader
	if m.typ, err = i.mem.Uint64(chunk); err != nil {
		return m, 0, err
	}
	high, err := i.mem.Uint16(chunk + chunkTokenRange)
	if err != nil {
		return m, 0, err
	}
	m.kind = int(word >> 48 & methodKindMask)
	bits := i.layout.method.tokenBits
	m.token = uint32(high)&(1<<(24-bits)-1)<<bits | uint32(word)&(1<<bits-1) //nolint:gosec // the lower half
	var name uint64
	if m.kind == methodDynamic {
		if name, err = i.mem.Uint64(addr + uint64(i.layout.method.name)); err != nil {
			return m, 0, err
		}
	}
	return m, mix(word&methodFixedBits, m.typ, name), nil
}

// mix is the function of the same name of support/ebpf/dotnet.bpf.c.
func mix(a, b, c uint64) uint32 {
	h := (a ^ b*0xff51afd7ed558ccd) + c*0xc4ceb9fe1a85ec53
	h *= 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// methodName names a method by its descriptor.
func (i *instance) methodName(addr uint64, cookie uint32) (string, error) {
	m, now, err := i.readMethod(addr)
	if err != nil {
		return "", err
	}
	if now != cookie {
		return "", interpreter.ErrStale
	}
	if m.kind == methodDynamic {
		return i.dynamicName(addr)
	}
	meta, err := i.metadataOf(m.typ)
	if err != nil {
		return "", err
	}
	typ := ""
	if args := i.typeArguments(m.typ, 0); len(args) > 0 {
		owner, err := meta.owner(m.token)
		if err != nil {
			return "", err
		}
		if typ, err = meta.typeName(owner); err != nil {
			return "", err
		}
		typ = instantiate(typ, args)
	}
	name, err := meta.fullMethodName(m.token, typ)
	if err != nil {
		return "", err
	}
	if m.kind == methodGeneric {
		if args := i.methodArguments(addr); len(args) > 0 {
			name += "<" + strings.Join(args, ", ") + ">"
		}
	}
	return cut(name), nil
}

// dynamicName names a method without metadata: one that was made by a program at
// run time, or by the runtime to get from one convention of calls to another.
func (i *instance) dynamicName(addr uint64) (string, error) {
	p, err := i.mem.Uint64(addr + uint64(i.layout.method.name))
	if err != nil {
		return "", err
	}
	name, err := i.mem.String(p)
	if err != nil {
		return "", err
	}
	if name == "" {
		name = "dynamic method"
	}
	return cut("[" + name + "]"), nil
}

// metadataOf returns the metadata of the assembly that defines a type.
func (i *instance) metadataOf(typ uint64) (*metadata, error) {
	module, err := i.moduleOf(typ)
	if err != nil {
		return nil, err
	}
	if m, ok := i.modules[module]; ok {
		if m == nil {
			return nil, errNoImage
		}
		return m, nil
	}
	m, err := i.openModule(module)
	if err != nil {
		// Most likely it stays as it is: a module that is made in memory.
		m = nil
	}
	if len(i.modules) >= maxModules {
		clear(i.modules)
	}
	i.modules[module] = m
	return m, err
}

// moduleOf returns the module that defines a type. Before .NET 9 a generic type
// tells only its loader; the form that is shared is loaded by who defines it.
func (i *instance) moduleOf(typ uint64) (uint64, error) {
	if i.layout.loaderModule {
		flags, err := i.mem.Uint32(typ + typeFlags)
		if err != nil {
			return 0, err
		}
		if flags&(typeIsArray|typeGenericMask) != 0 {
			if c, err := i.mem.Uint64(typ + typeCanonical); err == nil && (c&3 == 1 || c&3 == 2) {
				typ = c &^ 3 // the tag is 2 in .NET 6 and 7
			}
		}
	}
	return i.mem.Uint64(typ + typeModule)
}

// openModule finds the metadata of a module.
func (i *instance) openModule(module uint64) (*metadata, error) {
	if i.layout.module.base != 0 {
		base, err := i.mem.Uint64(module + uint64(i.layout.module.base))
		if err != nil {
			return nil, err
		}
		if base == 0 {
			return nil, errNoImage
		}
		img, err := i.imageAt(base)
		if err != nil {
			return nil, err
		}
		return img.meta, nil
	}
	name, err := i.mem.Uint64(module + uint64(i.layout.module.simpleName))
	if err != nil {
		return nil, err
	}
	root, err := i.findRoot(name)
	if err != nil {
		return nil, err
	}
	return readMetadata(i.mem, root)
}

// findRoot looks for the start of the metadata that a name lies in: the strings
// stand behind the tables.
func (i *instance) findRoot(name uint64) (uint64, error) {
	const page, limit = 4096, 64 << 20
	b := make([]byte, page)
	for at := name &^ (page - 1); at >= page && name-at < limit; at -= page {
		if err := i.mem.Read(b, at); err != nil {
			return 0, fmt.Errorf("start of metadata: %w", err)
		}
		for k := page - 4; k >= 0; k -= 4 {
			if binary.LittleEndian.Uint32(b[k:]) == metadataMagic && at+uint64(k) < name { //nolint:gosec // not negative
				return at + uint64(k), nil //nolint:gosec // not negative
			}
		}
	}
	return 0, errNoImage
}
