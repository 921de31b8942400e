// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"strings"
	"unicode/utf8"
)

// maxText bounds a single text on the wire. Demangled C++ names of 10 KiB exist;
// nobody reads one of 32 KiB to its end.
const maxText = 32 << 10

// cleanText makes a text fit for a protocol buffer, which must be UTF-8. Texts of
// processes are arbitrary bytes.
func cleanText(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// textTable is a string table under construction. Entry 0 is "".
type textTable struct {
	index map[string]uint32
	texts []string
}

func newTextTable() *textTable {
	return &textTable{index: map[string]uint32{"": 0}, texts: []string{""}}
}

func (t *textTable) add(s string) uint32 {
	if i, ok := t.index[s]; ok {
		return i
	}
	i := uint32(len(t.texts)) //nolint:gosec // bounded by the queues
	t.index[s] = i
	t.texts = append(t.texts, cleanText(s))
	return i
}

// table numbers distinct keys in the order in which they come.
type table[K comparable] struct {
	index map[K]uint32
}

func newTable[K comparable]() table[K] { return table[K]{index: map[K]uint32{}} }

// add returns the number of a key and whether it is new.
func (t table[K]) add(key K) (uint32, bool) {
	if i, ok := t.index[key]; ok {
		return i, false
	}
	i := uint32(len(t.index)) //nolint:gosec // bounded by the queues
	t.index[key] = i
	return i, true
}
