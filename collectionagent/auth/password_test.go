// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestPassword checks that a token may come as a password, but not from a page of somebody else: browsers
// add passwords by themselves.
func TestPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token, _ := w.token("blue", RoleIngest|RoleQuery, time.Time{})
	w.guard.policy = Policy{Routes: map[string]Access{"POST /write": {Role: RoleIngest}, "GET /read": {Role: RoleQuery}}}
	said := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	handler := w.guard.Handler([]Route{{"POST /write", said}, {"GET /read", said}})
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for _, c := range []struct {
		method, header, site string
		want                 int
	}{
		{"POST", basic("anybody:" + token), "", 200},
		{"POST", basic(":" + token), "", 200},
		{"POST", "basic " + basic("a:" + token)[len("Basic "):], "none", 200},
		{"GET", basic("a:" + token), "cross-site", 200}, // the page does not see the answer
		{"POST", basic("a:" + token), "cross-site", 403},
		{"POST", "Bearer " + token, "cross-site", 200}, // no browser adds it
		{"POST", basic(token + ":"), "", 401},
		{"POST", basic(token), "", 401},
		{"POST", "Basic " + token, "", 401},
		{"POST", basic("a:wrong"), "", 401},
	} {
		r := httptest.NewRequest(c.method, map[string]string{"POST": "/write", "GET": "/read"}[c.method], nil)
		r.Header.Set("Authorization", c.header)
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		if answer.Code != c.want {
			t.Errorf("%+v: %d %s", c, answer.Code, answer.Body)
		}
	}
}
