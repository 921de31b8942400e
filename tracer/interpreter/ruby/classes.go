// SPDX-License-Identifier: Apache-2.0

package ruby

import "encoding/binary"

// Names of the instance variables that hold the name of a class, and what a
// singleton class is attached to.
const (
	varPath     = "__classpath__"
	varAttached = "__attached__"
)

// maxClassVars bounds the instance variables of a class that are looked at.
const maxClassVars = 256

// class returns the name of a class or module, "" when it has none. single: it is
// the singleton class of the one that is named.
func (i *instance) class(v uint64) (name string, single bool) {
	flags, ok := i.classFlags(v)
	if !ok {
		return "", false
	}
	if flags&typeMask == typeClass && flags&i.lib.layout.singleton != 0 {
		v, ok = i.classField(v, varAttached, i.lib.layout.class.attached)
		if !ok {
			return "", false
		}
		// Of an object, it is not named.
		if flags, ok = i.classFlags(v); !ok || flags&i.lib.layout.singleton != 0 && flags&typeMask == typeClass {
			return "", false
		}
		single = true
	}
	if s, ok := i.classes[v]; ok {
		return s, single
	}
	path, ok := i.classField(v, varPath, i.lib.layout.class.path)
	if !ok {
		return "", false
	}
	name, err := i.mem.string(path)
	if err != nil || name == "" || name[0] == '#' { // not named yet: #<Class:0x...>
		return "", false
	}
	if len(i.classes) >= maxClasses {
		clear(i.classes)
	}
	i.classes[v] = name
	return name, single
}

// classFlags returns the flags of a class or module.
func (i *instance) classFlags(v uint64) (uint64, bool) {
	if !heapObject(v) {
		return 0, false
	}
	flags, err := i.mem.Uint64(v)
	t := flags & typeMask
	return flags, err == nil && (t == typeClass || t == typeModule)
}

// classField reads a field of a class: a variable with a name, or what is at an offset.
func (i *instance) classField(class uint64, variable string, offset uint64) (uint64, bool) {
	switch i.lib.layout.class.kind {
	case classFields:
		v, err := i.mem.Uint64(class + offset)
		return v, err == nil
	case classFirst:
		// The name is set before anything else can be, and a singleton class has
		// nothing but what it is attached to.
		values, err := i.mem.Uint64(class + offClassIvars)
		if err != nil {
			return 0, false
		}
		v, err := i.mem.Uint64(values)
		return v, err == nil
	}
	ext, err := i.mem.Uint64(class + offClassExt)
	if err != nil {
		return 0, false
	}
	table, err := i.mem.Uint64(ext + offExtIvars)
	if err != nil {
		return 0, false
	}
	return i.tableValue(table, variable)
}

// tableValue looks a symbol up in a hash table (struct st_table) by going through
// its entries, which are few: hash, key, value.
func (i *instance) tableValue(table uint64, key string) (uint64, bool) {
	w, err := i.mem.words(table, 7) // sizes, type, count, bins, first, bound, entries
	if err != nil || w[4] > w[5] || w[5]-w[4] > maxClassVars {
		return 0, false
	}
	n := w[5] - w[4]
	b, err := i.mem.Bytes(w[6]+w[4]*24, n*24, maxClassVars*24)
	if err != nil {
		return 0, false
	}
	for ; len(b) >= 24; b = b[24:] {
		if hash := binary.LittleEndian.Uint64(b); hash == ^uint64(0) {
			continue // deleted
		}
		if i.symbol(binary.LittleEndian.Uint64(b[8:])) == key {
			return binary.LittleEndian.Uint64(b[16:]), true
		}
	}
	return 0, false
}
