// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"
)

const (
	// maxName is where names are cut, in bytes.
	maxName = 1 << 10
	// cut shows that a name goes on.
	cut = "…"
	// demangledPow limits what the demangler may produce, to 2^16 bytes: short
	// names can stand for enormous ones.
	demangledPow = 16
)

// naming says what happened to a name on its way to a person.
type naming struct{ truncated, panicked bool }

// readable returns the name as a person reads it, and the linker's name where
// it differs: without compiler suffixes, demangled, valid and of bounded size.
func readable(raw string) (function, system string, how naming) {
	plain, isPLT := strings.CutSuffix(raw, "@plt")
	plain = trimClones(plain)
	if isMangled(plain) {
		plain, how.panicked = demangled(plain)
	}
	if isPLT {
		plain += "@plt"
	}
	function, how.truncated = clean(plain)
	if system, _ = clean(raw); system == function {
		system = ""
	}
	return function, system, how
}

// isMangled reports whether a name may be one that demanglers know, C++ or
// Rust.
func isMangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") || strings.HasPrefix(name, "___Z")
}

// demangled returns the demangled form, or the name itself if it has none.
func demangled(name string) (s string, panicked bool) {
	defer func() {
		// The demangler is a parser of untrusted input in another module. A
		// name is not worth the process.
		if recover() != nil {
			s, panicked = name, true
		}
	}()
	s, err := demangle.ToString(name, demangle.MaxLength(demangledPow))
	if err != nil || s == "" {
		return name, false
	}
	return s, false
}

// cloneSuffixes are what compilers add to the names of copies and pieces of a
// function; a number may follow.
var cloneSuffixes = map[string]bool{
	"cold": true, "part": true, "constprop": true, "isra": true, "lto_priv": true, "llvm": true,
	"localalias": true, "clone": true, "__uniq": true, "warm": true, "hot": true, "unlikely": true,
}

// trimClones takes the suffixes of clones off a linker's name.
func trimClones(name string) string {
	for {
		i := strings.LastIndexByte(name, '.')
		if i <= 0 {
			return name
		}
		last := name[i+1:]
		if isNumber(last) {
			// As in f.part.0; a number alone marks a local copy.
			name = name[:i]
			continue
		}
		if !cloneSuffixes[last] {
			return name
		}
		name = name[:i]
	}
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// clean makes a name valid UTF-8 without control characters and cuts it.
func clean(name string) (s string, truncated bool) {
	if len(name) > maxName {
		end := maxName - len(cut)
		for end > 0 && !utf8.RuneStart(name[end]) {
			end--
		}
		name, truncated = name[:end]+cut, true
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		name = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return utf8.RuneError
			}
			return r
		}, strings.ToValidUTF8(name, string(utf8.RuneError)))
		if len(name) > maxName {
			// Replacements are longer than what they replace.
			name = strings.ToValidUTF8(name[:maxName-len(cut)], "") + cut
			truncated = true
		}
	}
	return name, truncated
}
