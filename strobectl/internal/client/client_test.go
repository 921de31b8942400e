// SPDX-License-Identifier: Apache-2.0

package client

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func newClient(tb testing.TB, timeout time.Duration, handle http.HandlerFunc) *Client {
	tb.Helper()
	s := httptest.NewServer(handle)
	tb.Cleanup(s.Close)
	c, err := New(Options{Server: s.URL, Timeout: timeout})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// TestSilent checks that a server that says nothing, or stops in the middle, is given up.
func TestSilent(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{"nothing": "", "a part": `{"rows":`} {
		c := newClient(t, 20*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
			if begin != "" {
				_, _ = io.WriteString(w, begin)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		})
		var away *UnreachableError
		if _, err := c.JSON(t.Context(), "top", nil, &Top{}); !errors.Is(err, ErrSilent) || !errors.As(err, &away) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLargeAnswer checks that neither a compressed answer nor one of empty objects takes
// the memory of the host.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]string{"text": strings.Repeat(" ", 1<<20), "objects": strings.Repeat("{},", 1<<18), "nulls": strings.Repeat("null,", 1<<18)} {
		c := newClient(t, 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a level that there is
			_, err := io.WriteString(z, `{"rows":[`)
			for range 130 {
				if err == nil {
					_, err = io.WriteString(z, piece)
				}
			}
			if err == nil {
				_, err = io.WriteString(z, "{}]}")
			}
			if err == nil {
				_ = z.Close()
			}
		})
		var top Top
		if _, err := c.JSON(t.Context(), "top", nil, &top); err == nil || len(top.Rows) > 0 {
			t.Errorf("%s: %d rows, error %v", name, len(top.Rows), err)
		}
	}
}

// TestLongQuestion checks that a query that does not fit into a URL comes as a form.
func TestLongQuestion(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("x", 10000)
	c := newClient(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 || r.FormValue("query") != want {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, "{}")
	})
	if _, err := c.JSON(t.Context(), "top", url.Values{"query": {want}}, &Top{}); err != nil {
		t.Error(err)
	}
}
