// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"path"
	"strings"
	"unicode/utf8"
)

// Limits of texts, in bytes. Names and values end up in label indices and
// pickers, where longer ones are of no use to anybody.
const (
	maxNameBytes     = 128
	maxValueBytes    = 256
	maxVariableBytes = 16 << 10
	maxPathBytes     = 4096
)

// clean returns at most limit bytes of s as valid UTF-8 without control characters.
func clean(s string, limit int) string {
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	// The replacement has three bytes, so the limit is applied before it: a text
	// of broken bytes may come out longer.
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// executablePath turns the target of /proc/PID/exe into the path of the
// executable as the process sees it, "" when there is none. An executable that
// was deleted or replaced keeps its path; one without a file has "memfd:NAME".
func executablePath(target string) string {
	target = strings.TrimSuffix(target, " (deleted)")
	if strings.HasPrefix(target, "/memfd:") {
		target = target[1:]
	}
	return clean(target, maxPathBytes)
}

// executableName is the name by which a person knows an executable.
func executableName(executable string) string {
	if name, ok := strings.CutPrefix(executable, "memfd:"); ok {
		// runc runs from a copy of itself called "runc_cloned:/proc/self/exe".
		name, _, _ = strings.Cut(name, ":")
		if name == "" {
			return "memfd"
		}
		return name
	}
	if executable == "" || executable == "/" {
		return ""
	}
	return path.Base(executable)
}

// commandLine turns the contents of /proc/PID/cmdline into one line of text.
func commandLine(b []byte) string {
	return strings.TrimRight(clean(string(b), maxPathBytes), " ")
}
