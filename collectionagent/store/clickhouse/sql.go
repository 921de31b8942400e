// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"strconv"
	"strings"
)

// text is a piece of SQL that stands in this package's source. Untyped constants
// become one by themselves and nothing else does, so that no name, value or
// pattern from outside can get into a statement but through the methods of
// [statement] that quote.
type text string

// statement builds the text of one statement. Values are written into it, in a
// form that needs nothing but ASCII and that every version of the server reads
// the same way, because old servers know no parameters.
type statement struct{ b strings.Builder }

// add writes pieces of SQL.
func (s *statement) add(pieces ...text) *statement {
	for _, p := range pieces {
		s.b.WriteString(string(p))
	}
	return s
}

// String returns the statement.
func (s *statement) String() string { return s.b.String() }

// done returns the statement as a piece of another.
func (s *statement) done() text { return text(s.b.String()) }

const hexDigits = "0123456789abcdef"

// ident writes the name of a table, column, database or cluster.
func (s *statement) ident(name string) *statement {
	s.b.WriteByte('`')
	for i := range len(name) {
		s.escaped(name[i], '`')
	}
	s.b.WriteByte('`')
	return s
}

// str writes a string literal.
func (s *statement) str(v string) *statement {
	s.b.Grow(len(v) + 2)
	s.b.WriteByte('\'')
	for i := range len(v) {
		s.escaped(v[i], '\'')
	}
	s.b.WriteByte('\'')
	return s
}

// escaped writes a byte of something quoted. All that is not plain ASCII becomes
// hexadecimal: no quote, no backslash, no byte of a longer character stays.
func (s *statement) escaped(c, quote byte) {
	if c < 0x20 || c >= 0x7f || c == '\\' || c == '\'' || c == '`' || c == quote {
		s.b.WriteString(`\x`)
		s.b.WriteByte(hexDigits[c>>4])
		s.b.WriteByte(hexDigits[c&15])
		return
	}
	s.b.WriteByte(c)
}

// int writes a signed number.
func (s *statement) int(v int64) *statement {
	if v < 0 { // so that "a-" in front of it never makes a comment
		s.b.WriteByte('(')
		defer s.b.WriteByte(')')
	}
	s.b.WriteString(strconv.FormatInt(v, 10))
	return s
}

// uint writes a number.
func (s *statement) uint(v uint64) *statement {
	s.b.WriteString(strconv.FormatUint(v, 10))
	return s
}

// join writes elements with commas between them, in parentheses. An empty list
// is not SQL: the caller must see to it that there is one.
func join[T any](s *statement, list []T, each func(T)) *statement {
	s.b.WriteByte('(')
	for i := range list {
		if i > 0 {
			s.b.WriteByte(',')
		}
		each(list[i])
	}
	s.b.WriteByte(')')
	return s
}

// strs writes a list of strings in parentheses.
func (s *statement) strs(list []string) *statement {
	return join(s, list, func(v string) { s.str(v) })
}

// uints writes a list of numbers in parentheses.
func (s *statement) uints(list []uint64) *statement {
	return join(s, list, func(v uint64) { s.uint(v) })
}
