// SPDX-License-Identifier: Apache-2.0

// Package nearest finds what a person meant who has misspelt a name.
package nearest

import (
	"slices"
	"strings"
)

// maxLength bounds what is compared, in bytes: the time is the product of both lengths.
const maxLength = 100

// Name returns the name that is most like one that is not known, "" if none is like it.
// At most a third of the letters may differ, or two of a short name; capitals are as
// good as small letters. Of several that are as near it is the first in order.
func Name(unknown string, names []string) string {
	best, distance := "", max(2, len(unknown)/3)+1
	for _, name := range slices.Sorted(slices.Values(names)) {
		if len(unknown) > maxLength || len(name) > maxLength {
			continue
		}
		if d := edits(strings.ToLower(unknown), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// edits counts the letters to insert, delete or replace to turn a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
