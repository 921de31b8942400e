// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner reads JSON (RFC 8259), whose texts must be UTF-8.
type jsonScanner struct {
	data  []byte
	at    int
	depth int
	// unescaped is the last text that had escapes. charge is called before it gets larger.
	unescaped []byte
	charge    func(bytes int) error
}

// wrong returns an error about what is here.
func (j *jsonScanner) wrong(what string) error { return &jsonError{what: what, at: j.at} }

// space skips what stands between values.
func (j *jsonScanner) space() {
	for j.at < len(j.data) {
		switch j.data[j.at] {
		case ' ', '\t', '\n', '\r':
			j.at++
		default:
			return
		}
	}
}

// char skips a character, and space after it.
func (j *jsonScanner) char(c byte) bool {
	if j.at >= len(j.data) || j.data[j.at] != c {
		return false
	}
	j.at++
	j.space()
	return true
}

// literal skips true, false or null, and space after it.
func (j *jsonScanner) literal(word string) bool {
	end := j.at + len(word)
	if end > len(j.data) || string(j.data[j.at:end]) != word || (end < len(j.data) && !delimiter(j.data[end])) {
		return false
	}
	j.at = end
	j.space()
	return true
}

// delimiter reports whether a word or a number ends before c.
func delimiter(c byte) bool {
	return c != '-' && c != '+' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}

// enter counts how deep things nest.
func (j *jsonScanner) enter() error {
	if j.depth++; j.depth > maxJSONDepth {
		return j.wrong("nests deeper than " + strconv.Itoa(maxJSONDepth))
	}
	return nil
}

// object calls f with each key, which f must not keep, in front of its value, which f reads.
func (j *jsonScanner) object(f func(key []byte) error) error {
	if j.at >= len(j.data) || j.data[j.at] != '{' {
		return j.wrong("is not an object")
	}
	if err := j.enter(); err != nil {
		return err
	}
	j.char('{')
	for more := !j.char('}'); more; {
		key, err := j.string()
		if err != nil {
			return err
		}
		if !j.char(':') {
			return j.wrong("there is no colon after a name")
		}
		if err := f(key); err != nil {
			return err
		}
		if more = j.char(','); !more && !j.char('}') {
			return j.wrong("there is neither a comma nor the end of an object after a value")
		}
	}
	j.depth--
	return nil
}

// array calls f with the place of each element in front of it. f reads the element.
func (j *jsonScanner) array(f func(i int) error) error {
	if j.at >= len(j.data) || j.data[j.at] != '[' {
		return j.wrong("is not a list")
	}
	if err := j.enter(); err != nil {
		return err
	}
	j.char('[')
	more := !j.char(']')
	for i := 0; more; i++ {
		if err := f(i); err != nil {
			return err
		}
		if more = j.char(','); !more && !j.char(']') {
			return j.wrong("there is neither a comma nor the end of a list after a value")
		}
	}
	j.depth--
	return nil
}

// skip skips a value of any kind.
func (j *jsonScanner) skip() error {
	if j.at >= len(j.data) {
		return j.wrong("there is no value")
	}
	switch c := j.data[j.at]; c {
	case '{':
		return j.object(func([]byte) error { return j.skip() })
	case '[':
		return j.array(func(int) error { return j.skip() })
	case '"':
		_, err := j.string()
		return err
	default:
		if j.literal("true") || j.literal("false") || j.literal("null") {
			return nil
		}
		_, _, err := j.number()
		return err
	}
}

// number reads a number, which may be in quotes. What is in quotes is not checked.
func (j *jsonScanner) number() (text []byte, quoted bool, err error) {
	if j.at < len(j.data) && j.data[j.at] == '"' {
		text, err = j.string()
		return text, true, err
	}
	end := numberEnd(j.data, j.at)
	if end < 0 || (end < len(j.data) && !delimiter(j.data[end])) {
		return nil, false, j.wrong("is not a number")
	}
	text = j.data[j.at:end]
	j.at = end
	j.space()
	return text, false, nil
}

// numberEnd returns where a number that begins at a place ends, -1 when there is none.
func numberEnd(b []byte, at int) int {
	digits := func() bool {
		from := at
		for at < len(b) && '0' <= b[at] && b[at] <= '9' {
			at++
		}
		return at > from
	}
	if at < len(b) && b[at] == '-' {
		at++
	}
	if at < len(b) && b[at] == '0' {
		at++
	} else if !digits() {
		return -1
	}
	if at < len(b) && b[at] == '.' {
		if at++; !digits() {
			return -1
		}
	}
	if at < len(b) && (b[at] == 'e' || b[at] == 'E') {
		if at++; at < len(b) && (b[at] == '+' || b[at] == '-') {
			at++
		}
		if !digits() {
			return -1
		}
	}
	return at
}

// string reads a text. It is good until the next one is read.
func (j *jsonScanner) string() ([]byte, error) {
	if j.at >= len(j.data) || j.data[j.at] != '"' {
		return nil, j.wrong("is not a text")
	}
	from := j.at + 1
	end := from
	for end < len(j.data) && j.data[end] != '"' && j.data[end] != '\\' && j.data[end] >= ' ' {
		end++
	}
	text := j.data[from:end]
	if end < len(j.data) && j.data[end] == '\\' {
		j.unescaped = j.unescaped[:0]
		j.at = from
		var err error
		if end, err = j.unescape(); err != nil {
			return nil, err
		}
		text = j.unescaped
	}
	if end >= len(j.data) || j.data[end] != '"' {
		j.at = end
		return nil, j.wrong("a text does not end, or holds a control character")
	}
	if !utf8.Valid(text) {
		return nil, j.wrong("a text is not UTF-8")
	}
	j.at = end + 1
	j.space()
	return text, nil
}

// unescape reads the rest of a text with escapes and returns where it ends.
func (j *jsonScanner) unescape() (end int, err error) {
	for j.at < len(j.data) {
		if len(j.unescaped)+utf8.UTFMax > cap(j.unescaped) {
			if err := j.charge(2*cap(j.unescaped) + 256); err != nil {
				return 0, err
			}
			j.unescaped = slices.Grow(j.unescaped, cap(j.unescaped)+256)
		}
		c := j.data[j.at]
		switch {
		case c == '"' || c < ' ':
			return j.at, nil
		case c != '\\':
			j.unescaped = append(j.unescaped, c)
			j.at++
			continue
		}
		if j.at+1 >= len(j.data) {
			break
		}
		at := j.at
		c = j.data[at+1]
		j.at += 2
		switch c {
		case '"', '\\', '/':
			j.unescaped = append(j.unescaped, c)
		case 'b':
			j.unescaped = append(j.unescaped, '\b')
		case 'f':
			j.unescaped = append(j.unescaped, '\f')
		case 'n':
			j.unescaped = append(j.unescaped, '\n')
		case 'r':
			j.unescaped = append(j.unescaped, '\r')
		case 't':
			j.unescaped = append(j.unescaped, '\t')
		case 'u':
			r, ok := j.rune()
			if !ok {
				j.at = at
				return 0, j.wrong("an escape of a text is wrong")
			}
			j.unescaped = utf8.AppendRune(j.unescaped, r)
		default:
			j.at = at
			return 0, j.wrong("an escape of a text is wrong")
		}
	}
	return len(j.data), nil
}

// rune reads what follows \u, with the second half of what needs two.
func (j *jsonScanner) rune() (rune, bool) {
	r, ok := j.hex4()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if j.at+2 > len(j.data) || string(j.data[j.at:j.at+2]) != `\u` {
		return 0, false
	}
	j.at += 2
	low, ok := j.hex4()
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, false
	}
	return r, ok
}

// hex4 reads four digits.
func (j *jsonScanner) hex4() (rune, bool) {
	const digits = 4
	if j.at+digits > len(j.data) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(j.data[j.at:j.at+digits]), 16, 16)
	j.at += digits
	return rune(v), err == nil //nolint:gosec // of 16 bits
}
