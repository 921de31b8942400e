// SPDX-License-Identifier: Apache-2.0

package hotspot

import "strings"

// className makes a name for people of the one that the virtual machine uses:
// "java/lang/Thread" becomes "java.lang.Thread". Classes that are made at run time
// have an address in their names, "Mill$$Lambda$14/0x0000000800c031f8" or
// "...+0x...": it is left out, as it is another in every process.
func className(internal string) string {
	if i := strings.IndexAny(internal, "/+"); i >= 0 {
		for {
			rest := internal[i+1:]
			if strings.HasPrefix(rest, "0x") && isHex(rest[2:]) && len(rest) > 6 {
				internal = internal[:i]
				break
			}
			n := strings.IndexAny(rest, "/+")
			if n < 0 {
				break
			}
			i += 1 + n
		}
	}
	return strings.ReplaceAll(internal, "/", ".")
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

var primitives = map[byte]string{
	'B': "byte", 'C': "char", 'D': "double", 'F': "float", 'I': "int", 'J': "long", 'S': "short", 'Z': "boolean",
	'V': "void",
}

// parameters makes "(int, String[])" of the descriptor "(I[Ljava/lang/String;)V". What
// is in java.lang is named as in source. A descriptor that cannot be is left out.
func parameters(descriptor string) string {
	rest, ok := strings.CutPrefix(descriptor, "(")
	if !ok {
		return ""
	}
	var out strings.Builder
	out.WriteByte('(')
	for first := true; rest != "" && rest[0] != ')'; first = false {
		if !first {
			out.WriteString(", ")
		}
		array := len(rest) - len(strings.TrimLeft(rest, "["))
		if array > 255 || array == len(rest) {
			return ""
		}
		rest = rest[array:]
		if name, ok := primitives[rest[0]]; ok {
			out.WriteString(name)
			rest = rest[1:]
		} else {
			end := strings.IndexByte(rest, ';')
			if (rest[0] != 'L' && rest[0] != 'Q') || end < 0 {
				return ""
			}
			name := className(rest[1:end])
			if short, ok := strings.CutPrefix(name, "java.lang."); ok && !strings.Contains(short, ".") {
				name = short
			}
			out.WriteString(name)
			rest = rest[end+1:]
		}
		for range array {
			out.WriteString("[]")
		}
	}
	if rest == "" {
		return ""
	}
	out.WriteByte(')')
	return out.String()
}
