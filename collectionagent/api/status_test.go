// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
)

// TestStatusOfOneProject checks that a token of one project learns nothing of others, nor
// of the server as a whole.
func TestStatusOfOneProject(t *testing.T) {
	t.Parallel()
	s := New(Config{
		Store: runStore{testStore(t)}, Receipts: testReceipts{}, Now: func() time.Time { return testNow },
		Started: testNow.Add(-time.Hour), Retention: testRetention(),
	})
	for _, c := range []struct {
		who       *auth.Principal
		has, lack []string
	}{
		{auth.Anonymous(), []string{`"store"`, `"memory"`, `"queries"`, `"project":"other"`, `"received":73000`, `"free_bytes"`}, nil},
		{
			&auth.Principal{Scope: "shop", Project: "shop", Roles: auth.RoleAdmin},
			[]string{`"retention"`, `"type":"off_cpu"`, `"received":0`, `"refused":{}`, `"started_ms":1795251600000`},
			[]string{`"store"`, `"memory"`, `"queries"`, `other`, `free_bytes`},
		},
		{&auth.Principal{Scope: "other", Project: "other", Roles: auth.RoleQuery}, []string{`"project":"other"`}, []string{`"store"`, `"memory"`, `"queries"`}},
	} {
		w := get(t, letInAs(s, c.who), "/api/v1/status")
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, text := range c.has {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s does not see %s: %s", c.who.Scope, text, w.Body)
			}
		}
		for _, text := range c.lack {
			if strings.Contains(w.Body.String(), text) {
				t.Errorf("%s sees %s: %s", c.who.Scope, text, w.Body)
			}
		}
	}
}

// TestStatusOfLittle asks a server that knows nothing but its store.
func TestStatusOfLittle(t *testing.T) {
	t.Parallel()
	h := letIn(New(Config{Store: testStore(t), Now: func() time.Time { return testNow }}))
	w := get(t, h, "/api/v1/status")
	for _, text := range []string{`"retention"`, `"ingest"`, `"started_ms"`, `"read_only"`, `"free_bytes"`} {
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), text) {
			t.Errorf("%d, has %s: %s", w.Code, text, w.Body)
		}
	}
}
