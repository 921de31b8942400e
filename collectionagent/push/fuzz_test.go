// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// FuzzPprof sends bodies that may be profiles of pprof.
func FuzzPprof(f *testing.F) {
	f.Add(encode(f, cpuProfile(map[string][]string{"span_id": {"00f067aa0ba902b7"}, "a": {"b", "c"}})))
	f.Add(gunzipped(f, encode(f, cpuProfile(nil))))
	f.Add(gunzipped(f, encode(f, heapProfile("alloc_objects/count", "inuse_space/bytes"))))
	f.Add([]byte("\x1f\x8b\x08"))
	r := fuzzRig(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		fuzz(t, r, "/ingest?name=shop&format=pprof", body)
	})
}

// FuzzForm sends forms.
func FuzzForm(f *testing.F) {
	add := func(parts ...string) {
		body, contentType := form(f, parts...)
		f.Add(body, contentType)
	}
	p := string(encode(f, heapProfile("alloc_objects/count")))
	add("profile", p)
	add("profile", p, "prev_profile", p, "sample_type_config", `{"alloc_objects":{"display-name":"alloc_space","cumulative":true}}`)
	r := fuzzRig(f)
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		fuzz(t, r, "/ingest?name=shop", body, "Content-Type", contentType)
	})
}

// FuzzFolded sends text.
func FuzzFolded(f *testing.F) {
	f.Add([]byte("main;work 3\nmain 1\r\n\n;; 2\n"), "shop.cpu{region=eu,zone=\"a\"}", "folded")
	f.Add([]byte("main;work\n \t5\n\xff;x 9223372036854775807\n"), "shop.wall", "lines")
	r := fuzzRig(f)
	f.Fuzz(func(t *testing.T, body []byte, name, format string) {
		q := url.Values{"name": {name}, "format": {format}}
		fuzz(t, r, "/ingest?"+q.Encode(), body)
	})
}

// FuzzPush sends requests of Connect.
func FuzzPush(f *testing.F) {
	f.Add([]byte(`{"series":[{"labels":[{"name":"__name__","value":"mutex"}],"samples":[{"rawProfile":"eA==","ID":"x"}]}]}`), true)
	f.Add([]byte("\x0a\x10\x0a\x08\x0a\x01a\x12\x03bcd\x12\x04\x0a\x02\x1f\x8b"), false)
	r := fuzzRig(f)
	f.Fuzz(func(t *testing.T, body []byte, inJSON bool) {
		contentType := "application/proto"
		if inJSON {
			contentType = "application/json"
		}
		fuzz(t, r, "/push.v1.PusherService/Push", body, "Content-Type", contentType)
	})
}

// fuzzRig returns a server that keeps nothing, so that what one input takes is not that of those before.
func fuzzRig(f *testing.F) *rig {
	f.Helper()
	return newRig(f, func(c *ingest.Config) {
		c.Store, c.KnownStacks, c.MaxRequestBytes, c.MemoryBytes = forgetful{c.Store}, 16, fuzzBytes, 8<<20
	})
}

// fuzzBytes is how large a body may be, compressed and not.
const fuzzBytes = 64 << 10

// forgetful is a store that checks what it is to store.
type forgetful struct{ store.Store }

func (forgetful) Append(_ context.Context, b *store.Batch) (bool, error) { return false, b.Check() }

func (forgetful) Put(context.Context, *store.Definitions) (bool, error) { return false, nil }

// fuzz sends a body, which must be taken or refused with a reason, in bounded memory: what there is for it, which
// does not depend on how much it is once it is decompressed.
func fuzz(t *testing.T, r *rig, target string, body []byte, headers ...string) {
	t.Helper()
	r.tb = t
	hostile.Bound(t, fuzzBytes, 256, func() {
		w := r.post(target, body, headers...)
		switch w.Code {
		case http.StatusOK:
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests:
			if answerText(t, w.Body.Bytes()) == "" {
				t.Errorf("%d without a reason", w.Code)
			}
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
