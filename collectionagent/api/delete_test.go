// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// remaining counts the samples of a project.
func remaining(t *testing.T, s store.Store, project string) (n int) {
	t.Helper()
	q := &store.Query{Project: project, From: math.MinInt64, To: math.MaxInt64}
	if err := s.Samples(t.Context(), q, func(*store.Sample, *store.Series) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDeleteData(t *testing.T) {
	t.Parallel()
	admin := &auth.Principal{TokenID: "abc", TokenName: "boss", Scope: "default", Project: "default", Roles: auth.RoleAdmin}
	for _, tc := range []struct {
		query  string
		who    *auth.Principal
		status int
		text   string
		all    bool // is deleted
	}{
		{"", admin, 400, `"parameter":"everything"`, false},
		{"everything=yes", admin, 400, "expected true", false},
		{"everything=true&types=on_cpu", admin, 400, "narrow", false},
		{"service=web", admin, 400, "unknown parameter", false},
		{"types=cpu", admin, 400, `"parameter":"types"`, false},
		{"query={", admin, 400, `"parameter":"query"`, false},
		{"from=now-1h&from=now", admin, 400, "more than once", false},
		{"from=now&to=now-1h", admin, 400, "is not before to", false},
		{"query={service!=\"\"}&to=0", admin, 400, `"parameter":"to"`, false},
		{"types=on_cpu&to=", admin, 400, "is empty", false},
		{"types=on_cpu&from=0", admin, 400, `"parameter":"from"`, false},
		{"everything=true", &auth.Principal{Scope: "default", Project: "default", Roles: auth.RoleQuery | auth.RoleIngest}, 403, "who asks", false},
		{"everything=true", &auth.Principal{Scope: "other", Project: "other", Roles: auth.RoleAdmin}, 200, `"samples":0`, false},
		{"query={service=\"nobody\"}", admin, 200, `"samples":0`, false},
		{"from=now-365d&to=now%2B1h", admin, 200, `"project":"default"`, true},
		{"everything=true", admin, 200, `"project":"default"`, true},
	} {
		s := testStore(t)
		before := remaining(t, s, "default")
		var log bytes.Buffer
		h := letInAs(New(Config{Store: s, Now: func() time.Time { return testNow }, Logger: slog.New(slog.NewTextHandler(&log, nil))}), tc.who)
		values, err := url.ParseQuery(tc.query)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, "/api/v1/data?"+values.Encode(), nil))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.text) {
			t.Errorf("%q: %d %s", tc.query, w.Code, w.Body)
		}
		left := remaining(t, s, "default")
		if (left == 0) != tc.all || (!tc.all && left != before) {
			t.Errorf("%q: %d of %d samples are left", tc.query, left, before)
		}
		if audited := strings.Contains(log.String(), "audit: deletion of data"); audited != (tc.status == 200) {
			t.Errorf("%q: log %s", tc.query, &log)
		}
		if tc.all && !strings.Contains(log.String(), "token=abc token_name=boss") {
			t.Errorf("%q: log %s", tc.query, &log)
		}
	}
	w := httptest.NewRecorder()
	letIn(New(Config{Store: testStore(t)})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/data", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodDelete {
		t.Errorf("GET: %d, allowed %q", w.Code, w.Header().Get("Allow"))
	}
}
