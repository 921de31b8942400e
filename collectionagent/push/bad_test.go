// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/parca"
)

// answerText returns what an error says, whichever form it has.
func answerText(t *testing.T, body []byte) string {
	t.Helper()
	var v struct {
		Error struct{ Parameter, Message string }
		Code  string
		// Of Connect.
		Message string
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Errorf("%v in %s", err, body)
	}
	if v.Code != "" {
		return v.Code + ": " + v.Message
	}
	return strings.TrimPrefix(v.Error.Parameter+": "+v.Error.Message, ": ")
}

// TestBad sends what is wrong.
func TestBad(t *testing.T) {
	t.Parallel()
	const (
		toIngest, toPush, toUpload = "/ingest?", "/push.v1.PusherService/Push", "/api/v1/upload?service=shop"
		name                       = "/ingest?name=shop"
	)
	profileForm, profileType := form(t, "profile", "nonsense")
	noProfile, noProfileType := form(t, "profil", "x")
	badConfig, badConfigType := form(t, "profile", string(encode(t, cpuProfile(nil))), "sample_type_config", "[1]")
	longConfig, longConfigType := form(t, "profile", string(encode(t, cpuProfile(nil))), "sample_type_config", strings.Repeat(" ", 64<<10+1))
	cumulative, cumulativeType := form(t, "profile", string(encode(t, cpuProfile(nil))), "sample_type_config", `{"samples":{"cumulative":true}}`)
	other, otherType := form(t, "profile", string(encode(t, heapProfile("alloc_space/bytes"))),
		"prev_profile", string(encode(t, heapProfile("inuse_space/bytes"))), "sample_type_config", `{"inuse_space":{"cumulative":true}}`)
	var parts []string
	for range 20 {
		parts = append(parts, string(rune('a'+len(parts)/2)), "x")
	}
	many, manyType := form(t, parts...)
	var manyLabels strings.Builder
	for i := range 1024 {
		manyLabels.WriteString("&l" + jsonText(i))
	}
	values := cpuProfile(nil)
	values.Sample[0].Value[1] = -5
	deep := strings.Repeat("a;", 20_000) + "a 1"
	old := cpuProfile(nil)
	old.TimeNanos = 1e9
	bomb := gzipped(t, make([]byte, 2<<20))
	proto := []string{"Content-Type", "application/proto"}
	inJSON := []string{"Content-Type", "application/json"}
	for what, c := range map[string]struct {
		target  string
		body    string
		headers []string
		status  int
		want    string // part of the answer
		reason  string
	}{
		"no name":            {toIngest, "a 1", nil, 400, "name: has no name of an application", "parameter"},
		"labels alone":       {toIngest + "name=%7Ba%3Db%7D", "a 1", nil, 400, "name: has no name of an application", "parameter"},
		"no end of labels":   {toIngest + "name=a%7Ba%3Db", "a 1", nil, 400, "closing brace is missing", "parameter"},
		"a label of nothing": {toIngest + "name=a%7B%3Db%7D", "a 1", nil, 400, "label 1 is not key=value", "parameter"},
		"an open quote":      {toIngest + "name=a%7Bk%3D%22b%7D", "a 1", nil, 400, "no closing quote", "parameter"},
		"more after labels":  {toIngest + "name=a%7Bk%3Db%7Dc", "a 1", nil, 400, `"c" stands after the labels`, "parameter"},
		"from":               {name + "&from=yesterday", "a 1", nil, 400, "from: expected a time", "parameter"},
		"until":              {name + "&until=-5", "a 1", nil, 400, "until: expected a time", "parameter"},
		"from before 1970":   {name + "&from=1969-12-31T00:00:00Z", "a 1", nil, 400, "from: is not a time from 1970 to 2262", "parameter"},
		"from 0":             {name + "&from=0", "a 1", nil, 400, "from: is not a time", "parameter"},
		"from too late":      {name + "&from=20000000000", "a 1", nil, 400, "from: is not a time", "parameter"},
		"from long ago":      {name + "&from=now-600000h", "a 1", nil, 400, "from: is not a time", "parameter"},
		"a query":            {name + "&spyName=a;b", "a 1", nil, 400, "query: invalid semicolon", "parameter"},
		"rate":               {name + "&sampleRate=fast", "a 1", nil, 400, "sampleRate: expected samples in a second", "parameter"},
		"units":              {name + "&units=bytes", "a 1", nil, 400, "let it end in .alloc_space", "parameter"},
		"jfr":                {name + "&format=jfr", "x", nil, 415, `format: "jfr" is not read: send pprof, folded or lines`, "format"},
		"trie":               {name + "&format=trie", "x", nil, 415, `"trie" is not read`, "format"},
		"trie by type":       {name, "x", []string{"Content-Type", "binary/octet-stream+trie"}, 415, `"trie" is not read`, "format"},
		"an unknown format":  {name + "&format=svg", "x", nil, 415, `"svg" is not read`, "format"},
		"no number":          {name, "main;work", nil, 400, "body: line 1: expected functions", "invalid"},
		"not a number":       {name, "a 1\nmain;work x", nil, 400, `body: line 2: "x" is not a whole number`, "invalid"},
		"below 0":            {name, "a -1", nil, 400, `"-1" is not a whole number`, "invalid"},
		"too many":           {name, "a 99999999999999", nil, 400, "must not be negative or stand for more than", "invalid"},
		"too deep":           {name, deep, nil, 400, "at most 16384 are allowed", "invalid"},
		"not pprof":          {name + "&format=pprof", "nonsense", nil, 400, "body: not a pprof profile", "invalid"},
		"empty pprof":        {name + "&format=pprof", "", nil, 400, "body: ", "invalid"},
		"gzipped twice":      {name + "&format=pprof", string(gzipped(t, encode(t, cpuProfile(nil)))), nil, 400, "body: not a pprof profile", "invalid"},
		"cut off":            {name + "&format=pprof", string(encode(t, cpuProfile(nil))[:60]), nil, 400, "body: is not gzip: unexpected EOF", "invalid"},
		"a bomb":             {name + "&format=pprof", string(bomb), nil, 413, "body: is larger than 1048576 bytes, uncompressed (-max-request-bytes)", "too_large"},
		"a compressed bomb":  {name, string(bomb), []string{"Content-Encoding", "gzip"}, 413, "1048576 bytes", "too_large"},
		"too large":          {name, strings.Repeat("a", 1<<20+1), nil, 413, "1048576 bytes", "too_large"},
		"an encoding":        {name, "x", []string{"Content-Encoding", "br"}, 415, "the content encoding has to be gzip, zstd or none", "encoding"},
		"not gzip":           {name, "x", []string{"Content-Encoding", "gzip"}, 400, "request: cannot be read", "invalid"},
		"negative values":    {name + "&format=pprof", string(encode(t, values)), nil, 400, "must not be negative", "invalid"},
		"too old":            {name + "&format=pprof", string(encode(t, old)), nil, 400, "observations are before", "refused"},
		"unknown types":      {name + "&format=pprof", string(encode(t, heapProfile("gc/nanoseconds"))), nil, 400, `samples of type "gc/nanoseconds" are not taken`, "refused"},
		"a form of nonsense": {name, string(profileForm), []string{"Content-Type", profileType}, 400, "profile: not a pprof profile", "invalid"},
		"no boundary":        {name, "x", []string{"Content-Type", "multipart/form-data"}, 400, "Content-Type: the form has no boundary", "invalid"},
		"not a form":         {name, "--b\r\nno header\r\n\r\n", []string{"Content-Type", "multipart/form-data; boundary=b"}, 400, "body: is not a form", "invalid"},
		"no profile":         {name, string(noProfile), []string{"Content-Type", noProfileType}, 400, "profile: there is no part of that name", "invalid"},
		"config":             {name, string(badConfig), []string{"Content-Type", badConfigType}, 400, "sample_type_config: is not JSON of types", "invalid"},
		"much config":        {name, string(longConfig), []string{"Content-Type", longConfigType}, 400, "sample_type_config: has 65537 bytes, at most 65536 are allowed", "invalid"},
		"nothing before":     {name, string(cumulative), []string{"Content-Type", cumulativeType}, 400, "prev_profile: is missing", "invalid"},
		"another before":     {name, string(other), []string{"Content-Type", otherType}, 400, "prev_profile: compare with the profile", "invalid"},
		"many parts":         {name, string(many), []string{"Content-Type", manyType}, 400, "more than 16 parts", "invalid"},

		"push without type":  {toPush, "x", nil, 415, `unimplemented: Content-Type: "" is not read`, "format"},
		"push of grpc":       {toPush, "x", []string{"Content-Type", "application/grpc"}, 415, `unimplemented: Content-Type: "application/grpc"`, "format"},
		"push of nonsense":   {toPush, "nonsense", proto, 400, "invalid_argument: request: ", "invalid"},
		"push of no JSON":    {toPush, "{", inJSON, 400, "invalid_argument: request: is not JSON of a PushRequest", "invalid"},
		"push of other JSON": {toPush, `{"series":{}}`, inJSON, 400, "invalid_argument: request: is not JSON of a PushRequest", "invalid"},
		"push of no profile": {toPush, `{"series":[{"samples":[{"rawProfile":"AA=="},{"rawProfile":"eA=="}]}]}`, inJSON, 400, "invalid_argument: series[0].samples[0].raw_profile: ", "invalid"},
		"push of labels":     {toPush, `{"series":[{"samples":[{"rawProfile":"AA=="}],"labels":[` + strings.Repeat(`{"name":"a"},`, 1024) + `{}]}]}`, inJSON, 400, "invalid_argument: series[0].labels: has 1025 entries, at most 1024 are allowed", "invalid"},
		"push in br":         {toPush, "x", append([]string{"Content-Encoding", "br"}, proto...), 415, "unimplemented: the content encoding", "encoding"},
		"push too large":     {toPush, strings.Repeat("a", 1<<20+1), proto, 413, "resource_exhausted: ", "too_large"},

		"upload of nobody":     {"/api/v1/upload", "a 1", nil, 400, "service: is missing", "parameter"},
		"upload of a query":    {toUpload + "&region=eu;team=a", "a 1", nil, 400, "query: invalid semicolon", "parameter"},
		"upload of labels":     {toUpload + manyLabels.String(), "a 1", nil, 400, "query: has 1025 parameters, at most 1024 are allowed", "parameter"},
		"upload twice":         {toUpload + "&team=a&team=b", "a 1", nil, 400, "team: is given more than once", "parameter"},
		"upload of a kind":     {toUpload + "&kind=x", "a 1", nil, 400, `kind: unknown kind "x"`, "parameter"},
		"upload of a time":     {toUpload + "&time=x", "a 1", nil, 400, "time: expected a time", "parameter"},
		"upload of a type":     {toUpload + "&type=x", "a 1", nil, 400, `type: unknown profile type "x": use on_cpu`, "parameter"},
		"upload of a unit":     {toUpload + "&type=wall&unit=bytes", "a 1", nil, 400, `unit: "bytes" is not one of wall, whose values are in nanoseconds`, "parameter"},
		"upload of a rate":     {toUpload + "&sample_rate=0.5", "a 1", nil, 400, "sample_rate: expected samples in a second", "parameter"},
		"upload of a format":   {toUpload + "&format=jfr", "a 1", nil, 415, `format: "jfr" is not read`, "format"},
		"upload of no profile": {toUpload, "\x00\x01", nil, 400, "body: ", "invalid"},
		"upload of no part":    {toUpload, string(noProfile), []string{"Content-Type", noProfileType}, 400, "profile: there is no part of that name", "invalid"},
	} {
		r := newRig(t)
		w := r.post(c.target, []byte(c.body), c.headers...)
		if got := answerText(t, w.Body.Bytes()); w.Code != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %q, want %d with %q", what, w.Code, got, c.status, c.want)
		}
		way := map[byte]string{'i': "ingest", 'p': "push", 'a': "upload"}[c.target[1]]
		if r.counted(way, c.reason) != 1 {
			t.Errorf("%s: is not counted as %s", what, c.reason)
		}
		if got := r.total(libpf.SampleOnCPU); got != 0 {
			t.Errorf("%s: %d ns are stored", what, got)
		}
	}
}

// TestOthersAreStored checks that a profile that is wrong keeps none of the others from being stored.
func TestOthersAreStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := jsonText(map[string]any{"rawProfile": encode(t, cpuProfile(nil))})
	body := `{"series":[{"samples":[` + good + `,{"rawProfile":"AA=="},{"rawProfile":"AA=="},` + good + `]}]}`
	w := r.post("/push.v1.PusherService/Push", []byte(body), "Content-Type", "application/json")
	if got := answerText(t, w.Body.Bytes()); w.Code != http.StatusBadRequest || !strings.Contains(got, "samples[1]") || !strings.HasSuffix(got, "(and 1 more that are wrong)") {
		t.Errorf("%d %s", w.Code, got)
	}
	if got := r.total(libpf.SampleOnCPU); got != 80_000_000 {
		t.Errorf("%d ns are stored, want 80000000", got)
	}
}

// TestLeft checks that nothing more is stored for a client that has left.
func TestLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.pushed.WriteRaw(ctx, &parca.WriteRawRequest{Series: []*parca.RawProfileSeries{{
		Samples: []*parca.RawSample{{RawProfile: encode(t, cpuProfile(nil))}},
	}}})
	if status.Code(err) != codes.Canceled || r.counted("parca", "canceled") != 1 || r.total(libpf.SampleOnCPU) != 0 {
		t.Errorf("%v, %d ns are stored", err, r.total(libpf.SampleOnCPU))
	}
}

// TestOverload checks that clients are told to come back.
func TestOverload(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ingest.Config){
		"rate": func(c *ingest.Config) { c.Rates = limit.Config{Project: limit.Amount{Samples: 1}} },
	} {
		r := newRig(t, change)
		for _, way := range []string{"/ingest?name=shop", "/api/v1/upload?service=shop"} {
			var last int
			for range 30 {
				w := r.post(way, []byte("a 1\nb 2\nc 3\n"))
				if last = w.Code; last == http.StatusTooManyRequests {
					if w.Header().Get("Retry-After") == "" {
						t.Errorf("%s: %s: no Retry-After", name, way)
					}
					break
				}
			}
			if last != http.StatusTooManyRequests {
				t.Errorf("%s: %s: %d", name, way, last)
			}
		}
	}
	r := newRig(t, func(c *ingest.Config) { c.MaxConcurrent = 1 })
	_, end, err := r.in.Begin(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if w := r.post("/push.v1.PusherService/Push", nil, "Content-Type", "application/proto"); w.Code != http.StatusTooManyRequests ||
		!strings.Contains(w.Body.String(), `"code":"resource_exhausted"`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("all slots are taken: %d %v %s", w.Code, w.Header(), w.Body)
	}
	end()
	if w := r.post("/push.v1.PusherService/Push", nil, "Content-Type", "application/proto"); w.Code != http.StatusOK {
		t.Errorf("a slot is free: %d %s", w.Code, w.Body)
	}
}

// TestRatesOfManyProfiles checks that what the first profiles of a request cost does not stand against
// those after them, and that each byte is counted once.
func TestRatesOfManyProfiles(t *testing.T) {
	t.Parallel()
	one := jsonText(map[string]any{"rawProfile": encode(t, cpuProfile(nil))})
	body := []byte(`{"series":[{"samples":[` + strings.Repeat(one+",", 19) + one + `]}]}`)
	for name, rates := range map[string]limit.Config{
		"samples of a project": {Project: limit.Amount{Samples: 1}},
		"samples of a host":    {Host: limit.Amount{Samples: 1}},
		"bytes":                {Project: limit.Amount{Bytes: int64(len(body))}, Burst: 2 * time.Second},
	} {
		rates.Now = func() time.Time { return testNow }
		r := newRig(t, func(c *ingest.Config) { c.Rates = rates })
		post := func() int {
			return r.post("/push.v1.PusherService/Push", body, "Content-Type", "application/json").Code
		}
		if code := post(); code != http.StatusOK || r.total(libpf.SampleOnCPU) != 20*40_000_000 {
			t.Errorf("%s: %d, %d ns are stored", name, code, r.total(libpf.SampleOnCPU))
		}
		if name == "bytes" { // of two seconds
			if code := post(); code != http.StatusOK {
				t.Errorf("%s: the second is answered %d", name, code)
			}
		}
		if code := post(); code != http.StatusTooManyRequests {
			t.Errorf("%s: the last is answered %d", name, code)
		}
	}
}

// TestMemoryIsBounded sends profiles that would become much larger than they are.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *ingest.Config) { c.MemoryBytes = 8 << 20 })
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}}
	for range 60_000 {
		p.Sample = append(p.Sample, &profile.Sample{Value: []int64{1}})
	}
	for what, c := range map[string]struct {
		target string
		body   []byte
	}{
		"many samples": {"/ingest?name=shop&format=pprof", encode(t, p)},
		"an upload":    {"/api/v1/upload?service=shop", encode(t, p)},
		"many lines":   {"/ingest?name=shop", bytes.Repeat([]byte("a 1\n"), 200_000)},
		"many frames":  {"/ingest?name=shop", bytes.Repeat([]byte("a;"), 500_000)},
		"much JSON":    {"/push.v1.PusherService/Push", []byte(`{"series":[` + strings.Repeat("{},", 300_000) + `{}]}`)},
	} {
		headers := []string{"Content-Type", "application/json"}
		if what != "much JSON" {
			headers = nil
		}
		w := r.post(c.target, c.body, headers...)
		if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "of memory: send it in parts") {
			t.Errorf("%s: %d %.300s", what, w.Code, w.Body)
		}
	}
	// All of it was given back.
	if w := r.post("/ingest?name=shop", []byte("a 1")); w.Code != http.StatusOK {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

// TestTimes checks what times may look like.
func TestTimes(t *testing.T) {
	t.Parallel()
	at := testNow.Add(-time.Hour)
	for _, text := range []string{
		"1699996400", "1699996400000", "1699996400000000", "1699996400000000000", "2023-11-14T21:13:20Z", "now-1h",
	} {
		r := newRig(t)
		if w := r.post("/ingest?name=shop&from="+text, []byte("a 1")); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", text, w.Code, w.Body)
		}
		if got := r.first(libpf.SampleOnCPU); got != at.UnixMilli() {
			t.Errorf("%s is %d, want %d", text, got, at.UnixMilli())
		}
	}
}
