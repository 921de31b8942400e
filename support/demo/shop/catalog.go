// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const pageSize = 24

// catalog has the products in memory, with an index by tag.
type catalog struct {
	all     []product
	byTag   map[string][]int // places in all
	suggest func(text string, n int) []string
}

// newCatalog returns the service in a version: "1.0" has the slow endpoint, all later ones do not.
func newCatalog(all []product, version string) http.Handler {
	c := &catalog{all: all, byTag: map[string][]int{}}
	for i, p := range all {
		for _, tag := range p.Tags {
			c.byTag[tag] = append(c.byTag[tag], i)
		}
	}
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	if version == "" || version == "1.0" {
		c.suggest = func(text string, n int) []string { return closestNames(names, text, n) }
	} else {
		c.suggest = newNameIndex(names).closest
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products", c.list)
	mux.HandleFunc("GET /products/{id}", c.product)
	mux.HandleFunc("GET /suggest", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, c.suggest(r.FormValue("q"), 5))
	})
	return mux
}

// list is a page of the products with a tag, sorted by price or name.
func (c *catalog) list(w http.ResponseWriter, r *http.Request) {
	found := make([]product, 0, 1024)
	for _, i := range c.byTag[r.FormValue("tag")] {
		found = append(found, c.all[i])
	}
	sortProducts(found, r.FormValue("sort"))
	page, _ := strconv.Atoi(r.FormValue("page"))
	start := min(max(page, 0)*pageSize, len(found))
	writeJSON(w, found[start:min(start+pageSize, len(found))])
}

func sortProducts(found []product, by string) {
	slices.SortFunc(found, func(a, b product) int {
		if by == "name" {
			return strings.Compare(a.Name, b.Name)
		}
		return cmp.Or(cmp.Compare(a.Cents, b.Cents), strings.Compare(a.Name, b.Name))
	})
}

// product is one product, with a tag of its contents for caches.
func (c *catalog) product(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || i < 0 || i >= len(c.all) {
		http.NotFound(w, r)
		return
	}
	body, err := json.Marshal(c.all[i])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	tag := entityTag(body)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a customer who has gone does not want it any more
}

func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
