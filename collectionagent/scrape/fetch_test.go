// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/program"
)

// zipped returns data as gzip makes it.
func zipped(t *testing.T, write func(io.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	write(z)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// profileBytes is a heap profile as a target sends it.
func profileBytes(t *testing.T, lines ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := heap(lines...).Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAnswers gives a scraper what targets should not answer, and what they may.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	good := profileBytes(t, "work 10 5")
	bomb := zipped(t, func(w io.Writer) {
		zero := make([]byte, 1<<20)
		for range 64 {
			_, _ = w.Write(zero)
		}
	})
	write := func(b []byte, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			_, _ = w.Write(b)
		}
	}
	for name, c := range map[string]struct {
		handler      http.HandlerFunc
		more         string // of the job
		reason, want string // "": stored
	}{
		"a profile":                            {handler: write(good)},
		"a profile that HTTP compressed again": {handler: write(zipped(t, func(w io.Writer) { _, _ = w.Write(good) }), "Content-Encoding", "gzip")},
		"a profile that is not compressed":     {handler: func(w http.ResponseWriter, _ *http.Request) { _ = heap("work 10 5").WriteUncompressed(w) }},
		"not found":                            {handler: http.NotFound, reason: "status", want: "the target answered 404 Not Found"},
		"an error with a secret":               {handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, 500) }, reason: "status", want: "the target answered 500 Internal Server Error"},
		"what pprof says": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Go-Pprof", "1")
				http.Error(w, "cpu profiling already in use\x1b[1m"+strings.Repeat("x", 1000), 500)
			}, reason: "status", want: "the target answered 500 Internal Server Error: cpu profiling already in use [1mxxx",
		},
		"a redirect to no address": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "http://[/?"+r.URL.RawQuery)
				w.WriteHeader(http.StatusFound)
			}, reason: "connection", want: `failed to parse Location header "http://[/?...`,
		},
		"an echo": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, "GET "+r.URL.String()+" HTTP/1.1\r\n\r\n")
					_ = conn.Close()
				}
			}, reason: "connection", want: `malformed HTTP status code "/mine?..."`,
		},
		"a redirect without an address": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, reason: "status", want: "the target answered 302 Found",
		},
		"no profile":            {handler: write([]byte("goroutine profile: total 7\n")), reason: "invalid", want: "profile"},
		"nothing":               {handler: write(nil), reason: "invalid", want: "profile"},
		"broken gzip":           {handler: write(append([]byte{0x1f, 0x8b}, "xx"...)), reason: "invalid", want: "decompress the answer"},
		"cut gzip":              {handler: write(good[:len(good)-9]), reason: "invalid", want: "decompress the answer"},
		"a cut body":            {handler: write(good, "Content-Length", "100000"), reason: "connection", want: "unexpected EOF"},
		"another encoding":      {handler: write(good, "Content-Encoding", "br"), reason: "encoding", want: "Content-Encoding"},
		"a bomb":                {handler: write(bomb), reason: "too_large", want: "more than 16777216 bytes"},
		"a bomb by HTTP":        {handler: write(bomb, "Content-Encoding", "gzip"), reason: "too_large", want: "more than 16777216 bytes"},
		"above the job's limit": {handler: write(good), more: "body_size_limit: 50B", reason: "too_large", want: "more than 50 bytes"},
		"a body without an end": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return
					}
				}
			}, reason: "too_large", want: "more than 16777216 bytes",
		},
		"a length that is too large": {handler: write(nil, "Content-Length", "99999999"), reason: "too_large", want: "more than 16777216 bytes"},
		"slow": {
			handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			more:    "scrape_timeout: 100ms", reason: "timeout", want: "did not answer in time",
		},
		"a slow body": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(good[:10])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}, more: "scrape_timeout: 100ms", reason: "timeout", want: "did not answer in time",
		},
		"cut off": {
			handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, reason: "connection", want: "EOF",
		},
		"a loop": {
			handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/mine", http.StatusFound) },
			reason:  "redirect", want: "redirects more than 5 times",
		},
		"a redirect that is not followed": {
			handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/mine?"+secret, http.StatusFound) },
			more:    "follow_redirects: false", reason: "redirect", want: "redirects (302)",
		},
		"a redirect to nowhere": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "gopher://x/"+secret)
				w.WriteHeader(http.StatusFound)
			}, reason: "connection", want: "unsupported protocol scheme",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(c.handler)
			s.Config.ErrorLog = discardLog()
			s.Start()
			t.Cleanup(s.Close)
			config := jobFor(strings.TrimPrefix(s.URL, "http://"), "", "params: {key: ["+secret+"]}")
			if c.more != "" {
				config = strings.Replace(config, "  scrape_timeout: 1m\n", "", 1) + "  " + c.more + "\n"
			}
			r := newRig(t, config)
			target := r.once()[0]
			if c.reason == "" {
				if target.State != Up || target.Error != "" || target.Samples != 1 || r.total(libpf.SampleAllocSpace, "work") != 10 {
					t.Errorf("%+v, stored %q", target, r.folded(libpf.SampleAllocSpace))
				}
				return
			}
			if target.State != Down || !strings.Contains(target.Error, c.want) {
				t.Errorf("%s: %q, want %q", target.State, target.Error, c.want)
			}
			if n := counter(r.scraper.metrics.scrapes.WithLabelValues("failed", c.reason)); n != 1 {
				t.Errorf("%s is not counted", c.reason)
			}
			if strings.Contains(target.Error+target.URL+r.log.String(), secret) {
				t.Errorf("there is a secret in the status or the log: %+v\n%s", target, r.log)
			}
		})
	}
}

// TestNobodyThere scrapes an address that nobody listens on.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, jobFor(program.RefusedAddress(t), "", "params: {key: [hunter2]}"))
	if got := r.once()[0]; got.State != Down || !strings.Contains(got.Error, "connection refused") || strings.Contains(got.Error, "hunter2") {
		t.Errorf("%+v", got)
	}
}

// TestCredentials checks what targets are sent, and that it goes nowhere else.
func TestCredentials(t *testing.T) {
	t.Parallel()
	good := profileBytes(t, "work 10 5")
	heard := make(chan http.Header, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header.Clone()
		_, _ = w.Write(good)
	}))
	t.Cleanup(other.Close)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header.Clone()
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/x", http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/mine", http.StatusFound)
		default:
			_, _ = w.Write(good)
		}
	}))
	t.Cleanup(target.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("fresh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	phrase := filepath.Join(t.TempDir(), "phrase")
	if err := os.WriteFile(phrase, []byte("opén sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, more string
		want       []string // of each request
	}{
		"none":             {"/mine", "", []string{""}},
		"basic":            {"/mine", "basic_auth: {username: Aladdin, password: opensesame}", []string{"Basic QWxhZGRpbjpvcGVuc2VzYW1l"}},
		"bearer":           {"/mine", "authorization: {credentials: abc}", []string{"Bearer abc"}},
		"another type":     {"/mine", "authorization: {type: Token, credentials: abc}", []string{"Token abc"}},
		"from a file":      {"/mine", "authorization: {credentials_file: " + file + "}", []string{"Bearer fresh"}},
		"password file":    {"/mine", "basic_auth: {username: a, password_file: " + file + "}", []string{"Basic YTpmcmVzaA=="}},
		"a phrase":         {"/mine", "basic_auth: {username: a, password_file: " + phrase + "}", []string{"Basic YTpvcMOpbiBzZXNhbWU="}},
		"the same address": {"/near", "authorization: {credentials: abc}", []string{"Bearer abc", "Bearer abc"}},
		"another address":  {"/away", "authorization: {credentials: abc}", []string{"Bearer abc", ""}},
	} {
		r := newRig(t, jobFor(strings.TrimPrefix(target.URL, "http://"), "mine: {path: "+c.path+"}", c.more))
		if got := r.once()[0]; got.State != Up {
			t.Errorf("%s: %+v", name, got)
			continue // it was perhaps not asked
		}
		for i, want := range c.want {
			h := <-heard
			if got := h.Get("Authorization"); got != want {
				t.Errorf("%s: request %d has %q, want %q", name, i, got, want)
			}
			if got := h.Get("User-Agent"); got != "strobe-test/1" {
				t.Errorf("%s: user agent %q", name, got)
			}
			if got := h.Get("Referer"); got != "" {
				t.Errorf("%s: referer %q", name, got)
			}
		}
		if len(heard) > 0 {
			t.Errorf("%s: %d more requests", name, len(heard))
		}
	}
}

// TestCredentialsFileGone scrapes nothing without the credentials.
func TestCredentialsFileGone(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for more, want := range map[string]string{
		"authorization: {credentials_file: none}":                       "credentials_file: open DIR/none",
		"basic_auth: {username: a, password_file: none}":                "password_file: open DIR/none",
		"basic_auth: {username: a, password_file: " + empty + "}":       "password_file: " + empty + " is empty",
		"authorization: {credentials_file: " + empty + "}":              "credentials_file: " + empty + " is empty",
		"basic_auth: {username: a, password_file: " + t.TempDir() + "}": "is no regular file",
	} {
		r := newRig(t, jobFor("127.0.0.1:1", "", more))
		got := r.once()[0]
		if got.State != Down || !strings.Contains(got.Error, strings.Replace(want, "DIR", r.dir, 1)) {
			t.Errorf("%s: %+v", more, got)
		}
		if n := counter(r.scraper.metrics.scrapes.WithLabelValues("failed", "credentials")); n != 1 {
			t.Errorf("%s: it is not counted", more)
		}
	}
}

// TestTime checks that samples have the time of the scrape, whatever the target says.
func TestTime(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p := heap("work 10 5")
		p.TimeNanos = time.Now().Add(-1000 * time.Hour).UnixNano()
		_ = p.Write(w)
	}))
	t.Cleanup(s.Close)
	r := newRig(t, jobFor(strings.TrimPrefix(s.URL, "http://"), "", ""))
	if got := r.once()[0]; got.State != Up || r.total(libpf.SampleInuseSpace, "work") != 5 {
		t.Errorf("%+v", got)
	}
}
