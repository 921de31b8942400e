// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

const profilesPath = "/v1development/profiles"

// otlpBody returns a request of OTLP.
func otlpBody(t *testing.T) []byte {
	t.Helper()
	c := workload.Default()
	c.Stacks = 50
	request, _, _ := workload.New(c).OTLP(0, 0, time.Now().Add(-time.Minute).UnixNano(), true)
	data, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// push sends a body of OTLP.
func (r *rig) push(token string, body []byte, headers ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+profilesPath, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// TestOTLPOverHTTP sends profiles with tokens, of which each opens one project to some.
func TestOTLPOverHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := otlpBody(t)
	for name, want := range map[string]int{"": 401, "blue query": 403, "* admin": 403, "* query": 403, "blue expired": 401} {
		if resp := r.push(r.tokens[name], body); resp.StatusCode != want {
			t.Errorf("%q: %s", name, resp.Status)
		}
	}
	if resp := r.push(r.tokens["blue ingest"], body, "Strobe-Project", "red"); resp.StatusCode != 403 {
		t.Errorf("another project: %s", resp.Status)
	}
	const question = "/api/v1/folded?type=on_cpu&from=now-1h&to=now%2B1h"
	if _, answer := r.do(http.MethodGet, r.url+question, r.tokens["blue query"]); strings.Contains(answer, "acme") {
		t.Errorf("what was denied is stored: %.200s", answer)
	}
	if resp := r.push(r.tokens["blue ingest"], body); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("%s", resp.Status)
	}
	if _, answer := r.do(http.MethodGet, r.url+question, r.tokens["blue query"]); !strings.Contains(answer, "acme") {
		t.Errorf("nothing is stored: %.200s", answer)
	}
	if _, answer := r.do(http.MethodGet, r.url+question, r.tokens["red query"]); strings.Contains(answer, "acme") {
		t.Errorf("another project sees it: %.200s", answer)
	}
	if resp, _ := r.do(http.MethodGet, r.url+profilesPath, r.tokens["blue ingest"]); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
}

// TestSessionMayNotSend logs in with a token that may send data: the cookie may not,
// wherever the page comes from.
func TestSessionMayNotSend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	login, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/login", strings.NewReader(url.Values{"token": {r.tokens["blue admin"]}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Transport{}).RoundTrip(login)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(resp.Cookies()) != 1 {
		t.Fatalf("%s: %v", resp.Status, resp.Cookies())
	}
	cookie := resp.Cookies()[0]
	body := otlpBody(t)
	for _, site := range []string{"same-origin", "none", "same-site", "cross-site"} {
		if resp := r.push("", body, "Cookie", cookie.Name+"="+cookie.Value, "Sec-Fetch-Site", site); resp.StatusCode != 403 {
			t.Errorf("%s: %s", site, resp.Status)
		}
	}
	if resp := r.push(r.tokens["blue admin"], body, "Cookie", cookie.Name+"="+cookie.Value); resp.StatusCode != 200 {
		t.Errorf("with a token as well: %s", resp.Status)
	}
}

// TestSendWithoutTokens sends where no token is needed: programs may, pages of others not.
func TestSendWithoutTokens(t *testing.T) {
	t.Parallel()
	s := openSite(t)
	h := s.handler(prometheus.NewRegistry(), false)
	ask := func(host string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "http://"+host+profilesPath, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	// The server is still starting.
	if w := ask("localhost"); w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "starting") || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"another site": ask("localhost", "Sec-Fetch-Site", "cross-site"), "another origin": ask("localhost", "Origin", "http://evil.example"),
		"another name": ask("evil.example"),
	} {
		if w.Code != 403 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
