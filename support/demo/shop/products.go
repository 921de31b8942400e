// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// A product of the catalog.
type product struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Cents int      `json:"cents"`
	Tags  []string `json:"tags"`
	Text  string   `json:"text"`
}

var (
	adjectives = strings.Fields("amber brass copper dusty elder feather granite hollow iron juniper kindled lunar mossy northern oaken pewter quiet rustic silver tidal umber velvet willow young zinc")
	nouns      = strings.Fields("anvil basket candle drum easel flask goblet hammer inkwell jar kettle lantern mirror needle oar plough quill rope saddle teapot umbrella vase wheel yarn zither")
	uses       = strings.Fields("attic bakery cellar dairy evening forge garden harbour island journey kitchen library morning")
)

// products makes n products, the same at every start.
func products(n int) []product {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same at every start
	pick := func(words []string) string { return words[r.IntN(len(words))] }
	all := make([]product, n)
	for i := range all {
		name := pick(adjectives) + " " + pick(nouns) + " for the " + pick(uses)
		text := make([]string, 40)
		for j := range text {
			text[j] = pick([][]string{adjectives, nouns, uses}[j%3])
		}
		all[i] = product{
			ID: strconv.Itoa(i), Name: name + " no. " + strconv.Itoa(r.IntN(900)+100), Cents: 100 + r.IntN(50_000),
			Tags: []string{pick(uses), pick(nouns)}, Text: strings.Join(text, " "),
		}
	}
	return all
}
