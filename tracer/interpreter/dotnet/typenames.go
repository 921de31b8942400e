// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"fmt"
	"strings"
)

// maxNesting bounds how deep types may be nested in types.
const maxNesting = 16

// typeName returns the name of a type that the assembly defines, in the form of
// stack traces: the enclosing types stand before it.
func (m *metadata) typeName(rid uint32) (string, error) {
	name := ""
	for range maxNesting {
		row, err := m.row(tableTypeDef, rid)
		if err != nil {
			return "", err
		}
		own, err := m.qualified(row[2], row[1])
		if err != nil {
			return "", err
		}
		name = join(own, name)
		outer, ok := m.enclosing(rid)
		if !ok {
			return name, nil
		}
		rid = outer
	}
	return name, nil
}

// typeRefName returns the name of a type of another assembly.
func (m *metadata) typeRefName(rid uint32) (string, error) {
	name := ""
	for range maxNesting {
		row, err := m.row(tableTypeRef, rid)
		if err != nil {
			return "", err
		}
		own, err := m.qualified(row[2], row[1])
		if err != nil {
			return "", err
		}
		name = join(own, name)
		if row[0]&3 != 3 { // not in another type
			return name, nil
		}
		rid = row[0] >> 2
	}
	return name, nil
}

func join(outer, inner string) string {
	if outer == "" || inner == "" {
		return outer + inner
	}
	return outer + "." + inner
}

func (m *metadata) qualified(namespace, name uint32) (string, error) {
	ns := ""
	var err error
	if namespace != 0 {
		if ns, err = m.text(namespace); err != nil {
			return "", err
		}
	}
	n, err := m.text(name)
	return join(ns, n), err
}

// enclosing returns the type that a type is nested in. The table is sorted.
func (m *metadata) enclosing(rid uint32) (uint32, bool) {
	lo, hi := uint32(1), m.tables[tableNestedClass].rows+1
	for lo < hi {
		mid := (lo + hi) / 2
		row, err := m.row(tableNestedClass, mid)
		switch {
		case err != nil:
			return 0, false
		case row[0] == rid:
			return row[1], true
		case row[0] < rid:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// owner returns the type that defines a method: the last one whose list of
// methods begins at or before it.
func (m *metadata) owner(method uint32) (uint32, error) {
	lo, hi := uint32(1), m.tables[tableTypeDef].rows+1
	for lo+1 < hi {
		mid := (lo + hi) / 2
		row, err := m.row(tableTypeDef, mid)
		if err != nil {
			return 0, err
		}
		if row[5] <= method {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// methodName returns a method's own name.
func (m *metadata) methodName(rid uint32) (string, error) {
	row, err := m.row(tableMethodDef, rid)
	if err != nil {
		return "", err
	}
	return m.text(row[3])
}

// fullMethodName returns the name of a method and of its type. typ replaces the
// type's own name when it is not empty.
func (m *metadata) fullMethodName(rid uint32, typ string) (string, error) {
	name, err := m.methodName(rid)
	if err != nil {
		return "", err
	}
	if typ == "" {
		owner, err := m.owner(rid)
		if err != nil {
			return "", err
		}
		if owner == 1 {
			return name, nil // a function outside of all types
		}
		if typ, err = m.typeName(owner); err != nil {
			return "", err
		}
	}
	return join(typ, name), nil
}

// token returns the name of a type by its coded token: of this assembly, of
// another, or made up of others.
func (m *metadata) token(coded uint32, depth int) (string, error) {
	switch rid := coded >> 2; coded & 3 {
	case 0:
		return m.typeName(rid)
	case 1:
		return m.typeRefName(rid)
	case 2:
		row, err := m.row(tableTypeSpec, rid)
		if err != nil {
			return "", err
		}
		b, err := m.blob(row[0])
		if err != nil {
			return "", err
		}
		s := signature{b: b, meta: m}
		name := s.typ(depth + 1)
		if s.bad {
			return "", fmt.Errorf("%w: signature of a type", errMetadata)
		}
		return name, nil
	}
	return "", fmt.Errorf("%w: token of a type", errMetadata)
}

// keywords are what C# calls the types that signatures have short forms of.
var keywords = map[string]string{
	"System.Boolean": "bool", "System.Byte": "byte", "System.SByte": "sbyte", "System.Char": "char",
	"System.Int16": "short", "System.UInt16": "ushort", "System.Int32": "int", "System.UInt32": "uint",
	"System.Int64": "long", "System.UInt64": "ulong", "System.Single": "float", "System.Double": "double",
	"System.String": "string", "System.Object": "object", "System.Void": "void",
	"System.IntPtr": "nint", "System.UIntPtr": "nuint",
}

// instantiate puts type arguments into a generic type's name. Each part of it that
// ends with a grave accent and a number takes as many:
// Dictionary`2.Enumerator and two arguments give Dictionary<K, V>.Enumerator.
func instantiate(name string, args []string) string {
	if len(args) == 0 {
		return name
	}
	var out strings.Builder
	for rest := name; rest != ""; {
		i := strings.IndexByte(rest, '`')
		if i < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:i])
		rest = rest[i+1:]
		n := 0
		for rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			n = min(n*10+int(rest[0]-'0'), 1000)
			rest = rest[1:]
		}
		n = min(n, len(args))
		if n > 0 {
			out.WriteString("<" + strings.Join(args[:n], ", ") + ">")
			args = args[n:]
		}
	}
	if len(args) > 0 {
		out.WriteString("<" + strings.Join(args, ", ") + ">")
	}
	return cut(out.String())
}

// maxName bounds a name, which generic types can make very long.
const maxName = 1024

// cut shortens a name visibly.
func cut(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "…"
}
