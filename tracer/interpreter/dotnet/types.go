// SPDX-License-Identifier: Apache-2.0

package dotnet

import "strings"

// Flags of a type; MethodTable of src/coreclr/vm/methodtable.h.
const (
	typeHasComponents = 0x80000000 // an array or a string: the lower half is a size
	typeGenericMask   = 0x30
	typeGenericOpen   = 0x30
	typeCategoryMask  = 0x000c0000
	typeIsArray       = 0x00080000

	maxTypeDepth = 8
	maxArguments = 16
)

// typeArguments returns the names of a generic type's arguments, nil for a type
// that has none. The name of an argument that cannot be read is unknownType.
func (i *instance) typeArguments(typ uint64, depth int) []string {
	flags, err := i.mem.Uint32(typ + typeFlags)
	if err != nil || flags&typeHasComponents != 0 || flags&typeGenericMask == 0 || flags&typeGenericMask == typeGenericOpen {
		return nil
	}
	info, err := i.mem.Uint64(typ + typeInstance)
	if err != nil || info == 0 {
		return nil
	}
	// A type inherits the dictionaries of its ancestors; its own is the last.
	dictionaries, err := i.mem.Uint16(info - dictionaryHeader + 4)
	if err != nil || dictionaries == 0 || dictionaries > 256 {
		return nil
	}
	n, err := i.mem.Uint16(info - dictionaryHeader + 6)
	if err != nil {
		return nil
	}
	dictionary, err := i.mem.Uint64(info + uint64(dictionaries-1)*8)
	if err != nil {
		return nil
	}
	return i.arguments(dictionary, n, depth)
}

// methodArguments returns the names of a generic method's arguments.
func (i *instance) methodArguments(addr uint64) []string {
	dictionary, err := i.mem.Uint64(addr + uint64(i.layout.method.instance))
	if err != nil || dictionary == 0 {
		return nil
	}
	n, err := i.mem.Uint16(addr + uint64(i.layout.method.instanceArgCount))
	if err != nil {
		return nil
	}
	return i.arguments(dictionary, n, 0)
}

func (i *instance) arguments(dictionary uint64, n uint16, depth int) []string {
	if n > maxArguments {
		return nil
	}
	var out []string
	for k := range uint64(n) {
		name := unknownType
		if h, err := i.mem.Uint64(dictionary + k*8); err == nil {
			name = i.handleName(h, depth+1)
		}
		out = append(out, name)
	}
	return out
}

// handleName names a type by its handle.
func (i *instance) handleName(handle uint64, depth int) string {
	if depth > maxTypeDepth || handle&2 != 0 { // the latter: pointers, variables and such
		return unknownType
	}
	flags, err := i.mem.Uint32(handle + typeFlags)
	if err != nil {
		return unknownType
	}
	if flags&typeHasComponents != 0 && flags&typeCategoryMask == typeIsArray {
		element, err := i.mem.Uint64(handle + typeInstance)
		if err != nil {
			return unknownType
		}
		return i.handleName(element, depth+1) + "[]"
	}
	meta, err := i.metadataOf(handle)
	if err != nil {
		return unknownType
	}
	rid, err := i.typeToken(handle)
	if err != nil {
		return unknownType
	}
	name, err := meta.typeName(rid)
	if err != nil {
		return unknownType
	}
	if k, ok := keywords[name]; ok {
		return k
	}
	if strings.ContainsRune(name, '`') {
		name = instantiate(name, i.typeArguments(handle, depth))
	}
	return name
}

// typeToken returns a type's row in the metadata.
func (i *instance) typeToken(typ uint64) (uint32, error) {
	if i.layout.tokenInFlags {
		flags, err := i.mem.Uint32(typ + typeFlags2)
		return flags >> 8, err
	}
	rid, err := i.mem.Uint16(typ + typeToken)
	return uint32(rid), err
}
