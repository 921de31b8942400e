// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// browser sends requests with the cookie that it got.
type browser struct {
	t      *testing.T
	h      http.Handler
	cookie *http.Cookie
}

func (w *world) browser(routes ...Route) *browser {
	w.t.Helper()
	return &browser{t: w.t, h: w.guard.Handler(append(w.guard.Routes(), routes...))}
}

func (b *browser) do(method, target string, form url.Values, headers ...string) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "*/*")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		b.cookie = c
	}
	return resp
}

func (b *browser) status(want int, method, target string, headers ...string) {
	b.t.Helper()
	if got := b.do(method, target, nil, headers...).StatusCode; got != want {
		b.t.Errorf("%s %s %v: %d, want %d", method, target, headers, got, want)
	}
}

func (b *browser) login(token string, headers ...string) *http.Response {
	b.t.Helper()
	return b.do(http.MethodPost, "/login", url.Values{"token": {token}, "return": {"?from=now-1h&search=a%26b"}}, headers...)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	text, id := w.token("blue", RoleQuery, time.Time{})
	b := w.browser()
	b.status(401, "GET", "/api/v1/whoami")
	resp := b.login(" " + text + "\n")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "./?from=now-1h&search=a%26b" {
		t.Fatalf("login: %d %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	c := b.cookie
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "" || c.Domain != "" || strings.Contains(text, c.Value) {
		t.Fatalf("cookie %+v", c)
	}
	b.status(200, "GET", "/api/v1/whoami")
	b.status(403, "GET", "/api/v1/tokens") // the role is that of the token
	b.status(403, "GET", "/api/v1/whoami?project=default")
	b.status(200, "GET", "/api/v1/whoami?project=blue")

	// Another site cannot make the browser log out.
	b.status(403, "POST", "/logout", "Sec-Fetch-Site", "cross-site")
	b.status(403, "POST", "/logout", "Sec-Fetch-Site", "same-site")
	b.status(403, "POST", "/logout", "Origin", "https://evil.example")
	b.status(403, "POST", "/logout", "Origin", "null")
	b.status(200, "GET", "/api/v1/whoami")
	b.status(204, "POST", "/logout", "Origin", "http://example.com")
	if b.cookie.MaxAge >= 0 {
		t.Errorf("the cookie stays: %+v", b.cookie)
	}
	b.cookie = c
	b.status(401, "GET", "/api/v1/whoami")

	// A session ends with its token.
	b.login(text, "Sec-Fetch-Site", "same-origin")
	b.status(200, "GET", "/api/v1/whoami")
	w.edit(func(f *File) (err error) { text, err = f.RotateToken(id, 0, w.clock.now()); return err })
	w.clock.advance(recheckAfter)
	b.status(401, "GET", "/api/v1/whoami")
	b.login(text)
	b.status(200, "GET", "/api/v1/whoami")
	w.edit(func(f *File) error { return f.RevokeToken(id) })
	w.clock.advance(recheckAfter)
	b.status(401, "GET", "/api/v1/whoami")
	if n := w.guard.sessions.len(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ingest, _ := w.token("blue", RoleIngest, time.Time{})
	query, _ := w.token("blue", RoleQuery, time.Time{})
	f := func(token string, want int, text string, headers ...string) {
		t.Helper()
		b := w.browser()
		resp := b.login(token, headers...)
		var body strings.Builder
		_ = resp.Write(&body)
		if resp.StatusCode != want || !strings.Contains(body.String(), text) || b.cookie != nil {
			t.Errorf("%d, want %d with %q, cookie %v:\n%s", resp.StatusCode, want, text, b.cookie, &body)
		}
		if token != "" && strings.Contains(body.String(), token) {
			t.Error("the answer has the token")
		}
		if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Error("no content security policy")
		}
	}
	f("", 401, "Enter a token")
	f("<script>alert(1)</script>", 401, "This is not a token")
	f(ingest, 403, "lacks the role query")
	f(query, 403, "another site", "Sec-Fetch-Site", "cross-site")
	f(query, 403, "another site", "Origin", "https://evil.example")
	for range attemptBurst {
		w.browser().login("strobe_x")
	}
	f("strobe_x", 429, "Too many failed attempts")
	if b := w.browser(); b.login(query).StatusCode != http.StatusSeeOther {
		t.Error("wrong tokens of others keep a right one out")
	}
	b := w.browser()
	if resp := b.do(http.MethodPost, "/login", url.Values{"token": {strings.Repeat("a", maxLoginBytes)}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("large form: %d", resp.StatusCode)
	}
	// What to go back to is never another site.
	for _, back := range []string{"//evil.example", "https://evil.example", "\\evil", "?a=%zz", "x"} {
		resp := w.browser().do(http.MethodPost, "/login", url.Values{"token": {query}, "return": {back}})
		if got := resp.Header.Get("Location"); got != "./" {
			t.Errorf("return to %q: %q", back, got)
		}
	}
	resp := w.browser().do(http.MethodGet, `/login?return=%3Fq%3D%22%3E%3Cscript%3E`, nil)
	var body strings.Builder
	_ = resp.Write(&body)
	if strings.Contains(body.String(), "<script>") {
		t.Errorf("the page has a script: %s", &body)
	}
}

func TestSessionLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	text, id := w.token("blue", RoleQuery, time.Time{})
	b := w.browser()
	b.login(text)
	for range 3 {
		w.clock.advance(sessionIdle - time.Minute)
		b.status(200, "GET", "/api/v1/whoami")
	}
	w.clock.advance(sessionIdle)
	b.status(401, "GET", "/api/v1/whoami")
	b.login(text)
	for range int(sessionAbsolute/(sessionIdle/2)) - 1 {
		w.clock.advance(sessionIdle / 2)
		b.status(200, "GET", "/api/v1/whoami")
	}
	w.clock.advance(sessionIdle / 2)
	b.status(401, "GET", "/api/v1/whoami")

	// The holders of one token cannot end the sessions of others.
	other, _ := w.token("blue", RoleQuery, time.Time{})
	b.login(other)
	for range 2 * maxTokenSessions {
		w.guard.sessions.create(id, Digest{1}, w.clock.now())
	}
	if n := w.guard.sessions.len(); n != maxTokenSessions+1 {
		t.Errorf("%d sessions", n)
	}
	var evicted dto.Metric
	if err := w.guard.metrics.evicted.WithLabelValues("token").Write(&evicted); err != nil || evicted.GetCounter().GetValue() < maxTokenSessions {
		t.Errorf("%v sessions are counted as evicted, error %v", evicted.GetCounter().GetValue(), err)
	}
	b.status(200, "GET", "/api/v1/whoami")
}

func TestSecureCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	plain := httptest.NewRequest(http.MethodPost, "http://a/login", nil)
	behind := plain.Clone(t.Context())
	behind.Header.Set("X-Forwarded-Proto", "https")
	direct := plain.Clone(t.Context())
	direct.TLS = &tls.ConnectionState{}
	for r, want := range map[*http.Request]bool{plain: false, behind: true, direct: true} {
		if got := w.guard.cookie(r, "x", time.Hour).Secure; got != want {
			t.Errorf("%+v: secure %v", r.Header, got)
		}
	}
}

// TestOpenServer refuses what pages of other sites make browsers ask for while
// no token is needed.
func TestOpenServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Mode, c.AllowedHosts = ModeAuto, []string{"Profiles.example"} })
	b := w.browser()
	f := func(want int, headers ...string) {
		t.Helper()
		b.status(want, "GET", "/api/v1/whoami", headers...)
	}
	for _, host := range []string{"localhost", "localhost:7070", "127.0.0.1:7070", "[::1]:7070", "127.9.9.9", "LOCALHOST.", "profiles.example:80", "a.localhost"} {
		f(200, "Host", host)
	}
	for _, host := range []string{"evil.example", "evil.example:7070", "localhost.evil.example", "192.0.2.1", "127.0.0.1.evil.example", "", "evil.example:localhost"} {
		f(403, "Host", host)
	}
	f(200, "Host", "localhost:7070", "Sec-Fetch-Site", "same-origin")
	f(200, "Host", "localhost:7070", "Sec-Fetch-Site", "none")
	f(403, "Host", "localhost:7070", "Sec-Fetch-Site", "cross-site")
	f(403, "Host", "localhost:7070", "Sec-Fetch-Site", "same-site") // another port
	f(200, "Host", "localhost:7070", "Origin", "http://localhost:7070")
	f(403, "Host", "localhost:7070", "Origin", "http://localhost:3000")
	f(403, "Host", "localhost:7070", "Origin", "null")
	// A proxy may give its own name for the origin and this one for the host.
	f(200, "Host", "127.0.0.1:7070", "Origin", "https://profiles.example")
	resp := b.do("GET", "/api/v1/whoami", nil, "Host", "localhost")
	var who whoamiAnswer
	if err := json.NewDecoder(resp.Body).Decode(&who); err != nil || who.Auth || who.Project != DefaultProject || !who.ServerWide {
		t.Errorf("who am I: %+v, %v", who, err)
	}
}
