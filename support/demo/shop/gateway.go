// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// gateway renders the pages out of what the other services say.
type gateway struct {
	client *http.Client
	// Addresses of services, without a slash at the end.
	catalog, reviews, recommend, checkout, mail string
}

// errWithout is the answer of a stand-in: the service's language is not in its image.
var errWithout = errors.New("not in this demo")

func newGateway(getenv func(string) string) http.Handler {
	address := func(service string) string {
		if a := getenv("SHOP_" + strings.ToUpper(service)); a != "" {
			return strings.TrimRight(a, "/")
		}
		return "http://" + service + ":8080"
	}
	g := &gateway{
		client:  &http.Client{Timeout: 10 * time.Second},
		catalog: address("catalog"), reviews: address("reviews"), recommend: address("recommend"),
		checkout: address("checkout"), mail: address("mail"),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tags/{tag}", g.tag)
	mux.HandleFunc("GET /products/{id}", g.product)
	mux.HandleFunc("GET /search", g.search)
	mux.HandleFunc("POST /checkout", g.buy)
	return mux
}

func (g *gateway) tag(w http.ResponseWriter, r *http.Request) {
	var page struct {
		Title    string
		Products []product
	}
	page.Title = r.PathValue("tag")
	query := url.Values{"tag": {page.Title}, "sort": {r.FormValue("sort")}, "page": {r.FormValue("page")}}
	if err := g.ask(r.Context(), g.catalog+"/products?"+query.Encode(), nil, &page.Products); err != nil {
		failed(w, err)
		return
	}
	render(w, r, "tag", page)
}

func (g *gateway) product(w http.ResponseWriter, r *http.Request) {
	var page struct {
		Product product
		Reviews struct {
			Stars float64
			Words []string
		}
		Alike []string
	}
	id := url.PathEscape(r.PathValue("id"))
	if err := g.ask(r.Context(), g.catalog+"/products/"+id, nil, &page.Product); err != nil {
		failed(w, err)
		return
	}
	for address, part := range map[string]any{
		g.reviews + "/reviews/" + id:   &page.Reviews,
		g.recommend + "/similar/" + id: &page.Alike,
	} {
		if err := g.ask(r.Context(), address, nil, part); err != nil && !errors.Is(err, errWithout) {
			failed(w, err)
			return
		}
	}
	render(w, r, "product", page)
}

func (g *gateway) search(w http.ResponseWriter, r *http.Request) {
	var page struct {
		Title string
		Names []string
	}
	page.Title = r.FormValue("q")
	if err := g.ask(r.Context(), g.catalog+"/suggest?"+url.Values{"q": {page.Title}}.Encode(), nil, &page.Names); err != nil {
		failed(w, err)
		return
	}
	render(w, r, "search", page)
}

func (g *gateway) buy(w http.ResponseWriter, r *http.Request) {
	basket, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	receipt := struct {
		Total  string
		Number string
	}{Total: "not computed"}
	if err := g.ask(r.Context(), g.checkout+"/checkout", basket, &receipt); err != nil && !errors.Is(err, errWithout) {
		failed(w, err)
		return
	}
	var sent struct{ Bytes int }
	letter, _ := json.Marshal(receipt) // of two strings
	if err := g.ask(r.Context(), g.mail+"/mail", letter, &sent); err != nil && !errors.Is(err, errWithout) {
		failed(w, err)
		return
	}
	render(w, r, "receipt", receipt)
}

// ask gets an address, or posts a body if there is one, and decodes the answer. The error is
// errWithout if the service is a stand-in.
func (g *gateway) ask(ctx context.Context, address string, body []byte, answer any) error {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotImplemented:
		return errWithout
	default:
		return fmt.Errorf("ask %s: %s", address, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("ask %s: %w", address, err)
	}
	return nil
}

func failed(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusBadGateway) }

// render writes a page, compressed as a browser gets it.
func render(w http.ResponseWriter, r *http.Request, name string, page any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var out io.Writer = w
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzip.NewWriter(w)
		defer compressed.Close() //nolint:errcheck // a customer who has gone does not want it any more
		out = compressed
	}
	_ = pages.ExecuteTemplate(out, name, page) // likewise
}

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"price": func(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) },
}).Parse(`
{{define "tag"}}<h1>For the {{.Title}}</h1><ul>{{range .Products}}
<li><a href="/products/{{.ID}}">{{.Name}}</a> {{price .Cents}} <small>{{range .Tags}}<a href="/tags/{{.}}">{{.}}</a> {{end}}</small><p>{{.Text}}</p></li>
{{end}}</ul>{{end}}
{{define "product"}}<h1>{{.Product.Name}}</h1><p>{{price .Product.Cents}}</p><p>{{.Product.Text}}</p>
{{with .Reviews.Words}}<p>{{printf "%.1f" $.Reviews.Stars}} stars: {{range .}}<q>{{.}}</q> {{end}}</p>{{end}}
{{with .Alike}}<p>Others liked</p><ol>{{range .}}<li>{{.}}</li>{{end}}</ol>{{end}}{{end}}
{{define "search"}}<h1>Did you mean</h1><ol>{{range .Names}}<li>{{.}}</li>{{else}}<li>nothing like {{$.Title}}</li>{{end}}</ol>{{end}}
{{define "receipt"}}<h1>Thank you</h1><p>Receipt {{.Number}}: {{.Total}}</p>{{end}}
`))
