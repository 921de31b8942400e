// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"strings"
)

// A scored name: the lower, the closer.
type scored struct {
	name     string
	distance int
}

func best(all []scored, n int) []string {
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	names := make([]string, min(n, len(all)))
	for i := range names {
		names[i] = all[i].name
	}
	return names
}

// closestNames is version 1.0, and what the tour looks for: it compares the text with the name of
// every product there is.
func closestNames(names []string, text string, n int) []string {
	all := make([]scored, len(names))
	for i, name := range names {
		all[i] = scored{name, editDistance(name, text)}
	}
	return best(all, n)
}

// editDistance is how many letters have to be put in, taken out or replaced to get from a to b. Its
// time is the product of both lengths.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// nameIndex is version 1.1: it compares only names that share groups of three letters with the text.
type nameIndex struct {
	names  []string
	byGram map[string][]int32
}

// candidates is how many names are compared: those that share most with the text.
const candidates = 64

func newNameIndex(names []string) *nameIndex {
	x := &nameIndex{names: names, byGram: map[string][]int32{}}
	for i, name := range names {
		for _, gram := range grams(name) {
			x.byGram[gram] = append(x.byGram[gram], int32(i)) //nolint:gosec // thousands
		}
	}
	return x
}

func (x *nameIndex) closest(text string, n int) []string {
	shared := map[int32]int{}
	for _, gram := range grams(text) {
		// What nearly every name has tells little and costs most.
		if places := x.byGram[gram]; len(places) < len(x.names)/8 {
			for _, i := range places {
				shared[i]++
			}
		}
	}
	found := make([]scored, 0, len(shared))
	for i, count := range shared {
		found = append(found, scored{x.names[i], -count})
	}
	names := best(found, candidates)
	return closestNames(names, text, n)
}

// grams returns the groups of three letters of a text, each once.
func grams(text string) []string {
	var all []string
	for i := 0; i+3 <= len(text); i++ {
		all = append(all, text[i:i+3])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
