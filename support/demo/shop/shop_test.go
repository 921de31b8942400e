// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1},
		{"abc", "ac", 1}, {"kettle", "kitten", 3}, {"lantern", "lentrn", 2},
	} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestRemedy says that both versions of the catalog mean the same product.
func TestRemedy(t *testing.T) {
	all := products(2000)
	slow, fast := newCatalog(all, "1.0"), newCatalog(all, "1.1")
	for _, p := range all[:20] {
		text := strings.Replace(p.Name, "e", "x", 1)
		a, b := suggested(t, slow, text), suggested(t, fast, text)
		if len(a) != 5 || len(b) != 5 || a[0] != b[0] || a[0] != p.Name && editDistance(a[0], text) > 1 {
			t.Errorf("%q: version 1.0 says %q, 1.1 says %q", text, a, b)
		}
	}
	if got := suggested(t, fast, ""); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}

func suggested(t *testing.T, catalog http.Handler, text string) (names []string) {
	t.Helper()
	w := httptest.NewRecorder()
	catalog.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/suggest?"+url.Values{"q": {text}}.Encode(), nil))
	if err := json.Unmarshal(w.Body.Bytes(), &names); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return names
}

// TestShopWithoutLanguages says that a page is rendered where services are stand-ins, and that
// it is an error where they fail.
func TestShopWithoutLanguages(t *testing.T) {
	catalog := httptest.NewServer(newCatalog(products(100), ""))
	defer catalog.Close()
	status := http.StatusNotImplemented
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer other.Close()
	gateway := newGateway(func(name string) string {
		if name == "SHOP_CATALOG" {
			return catalog.URL
		}
		return other.URL
	})
	get := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		gateway.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("[]")))
		return w.Code, w.Body.String()
	}
	for _, path := range []string{"/products/7", "/tags/garden?sort=name", "/search?q=lantrn"} {
		if code, body := get(http.MethodGet, path); code != http.StatusOK || !strings.Contains(body, "<h1>") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := get(http.MethodPost, "/checkout"); code != http.StatusOK || !strings.Contains(body, "not computed") {
		t.Errorf("checkout: %d %s", code, body)
	}
	if code, _ := get(http.MethodGet, "/products/nonsense"); code != http.StatusBadGateway {
		t.Errorf("a product that there is not: %d", code)
	}
	status = http.StatusInternalServerError
	if code, _ := get(http.MethodGet, "/products/7"); code != http.StatusBadGateway {
		t.Errorf("with a service that fails: %d", code)
	}
}

func TestShrink(t *testing.T) {
	p := picture{size: 4, pixels: []uint8{
		0, 2, 10, 10,
		4, 6, 10, 10,
		1, 1, 255, 255,
		1, 1, 255, 255,
	}}
	small := shrink(p, 2)
	if small.size != 2 || string(small.pixels) != string([]uint8{3, 10, 1, 255}) {
		t.Errorf("got %v", small)
	}
}
