// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/support/hostile"
	"github.com/strobe-profiler/strobe/support/program"
)

// serveHTTP serves s on a real port and returns the address.
func serveHTTP(t *testing.T, s *Server) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(s.ServeProfiles))
	t.Cleanup(server.Close)
	return server.URL
}

// jsonIDs finds the IDs in the JSON of the library, which are not those of OTLP.
var jsonIDs = regexp.MustCompile(`"(traceId|spanId|profileId)":\s*"([^"]*)"`)

// otlpJSON returns a request as OTLP's JSON.
func otlpJSON(t testing.TB, r *collector.ExportProfilesServiceRequest) []byte {
	t.Helper()
	data, err := protojson.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return jsonIDs.ReplaceAllFunc(data, func(b []byte) []byte {
		m := jsonIDs.FindSubmatch(b)
		id, err := base64.StdEncoding.DecodeString(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "%q:%q", m[1], hex.EncodeToString(id))
	})
}

// encodings compress a body.
var encodings = map[string]func(io.Writer) io.WriteCloser{
	"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		e, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // cannot fail
		return e
	},
}

func encode(t testing.TB, encoding string, data []byte) []byte {
	t.Helper()
	if encoding == "" {
		return data
	}
	var b bytes.Buffer
	w := encodings[encoding](&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// httpAnswer is an answer with its body in the form of its content type.
type httpAnswer struct {
	*http.Response
	body []byte
}

// post sends a body as it is. headers come in pairs.
func post(t testing.TB, url, media string, body io.Reader, headers ...string) *httpAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &httpAnswer{answer, data}
}

// decode reads the body into m, strictly.
func (a *httpAnswer) decode(t testing.TB, m proto.Message) {
	t.Helper()
	var err error
	switch media := a.Header.Get("Content-Type"); media {
	case typeProtobuf:
		err = proto.Unmarshal(a.body, m)
	case typeJSON:
		err = protojson.Unmarshal(a.body, m)
	default:
		err = fmt.Errorf("content type %q", media)
	}
	if err != nil {
		t.Fatalf("%s: %v: %q", a.Status, err, a.body)
	}
}

// status returns the error that an answer holds.
func (a *httpAnswer) status(t testing.TB) error {
	t.Helper()
	var s rpcstatus.Status
	a.decode(t, &s)
	return status.FromProto(&s).Err()
}

// forms are the forms of a request.
func forms(t testing.TB, r *collector.ExportProfilesServiceRequest) map[string][]byte {
	t.Helper()
	data, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{typeProtobuf: data, typeJSON: otlpJSON(t, r)}
}

// TestServeProfiles stores requests in all forms, and answers in the same.
func TestServeProfiles(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m})
	url := serveHTTP(t, s)
	sent, wire := 0, 0
	for media, data := range forms(t, testExport(3, testNow)) {
		for _, encoding := range []string{"", "gzip", "zstd", "identity", " GZIP"} {
			for _, chunked := range []bool{false, true} {
				body := encode(t, strings.TrimSpace(strings.ToLower(strings.Replace(encoding, "identity", "", 1))), data)
				wire += len(body)
				var r io.Reader = bytes.NewReader(body)
				if chunked {
					r = io.MultiReader(r) // without a length
				}
				headers := []string{}
				if encoding != "" {
					headers = append(headers, "Content-Encoding", encoding)
				}
				a := post(t, url, media+"; charset=utf-8", r, headers...)
				var answer collector.ExportProfilesServiceResponse
				a.decode(t, &answer)
				if a.StatusCode != http.StatusOK || answer.PartialSuccess != nil || a.Header.Get("Content-Type") != media {
					t.Errorf("%s %q: %s %q", media, encoding, a.Status, a.body)
				}
				sent++
			}
		}
	}
	st, err := m.Stats(t.Context())
	if err != nil || st.Samples != int64(sent) || st.Stacks != 1 || st.Symbols != 1 || st.Executables != 1 || st.Hosts != 1 {
		t.Errorf("after %d requests %+v, %v", sent, st, err)
	}
	if n := counterValue(t, s.metrics.bytes.WithLabelValues("wire")); n != float64(wire) {
		t.Errorf("%v bytes are counted, %d were sent", n, wire)
	}
	if n := s.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	if r := s.Receipts(DefaultProject); r.Stored != uint64(3*sent) {
		t.Errorf("ledger %+v", r)
	}
}

// TestServePartly says what is left out, in the form of the request.
func TestServePartly(t *testing.T) {
	t.Parallel()
	url := serveHTTP(t, newTestServer(t, Config{}))
	for media, data := range forms(t, testExport(5, testNow.Add(-1000*time.Hour))) {
		a := post(t, url, media, bytes.NewReader(data))
		var answer collector.ExportProfilesServiceResponse
		a.decode(t, &answer)
		if p := answer.PartialSuccess; a.StatusCode != http.StatusOK || p.GetRejectedProfiles() != 1 || !strings.Contains(p.GetErrorMessage(), "5 observations are before") {
			t.Errorf("%s %q", a.Status, a.body)
		}
	}
	for media, empty := range map[string]string{typeProtobuf: "", typeJSON: "{}"} {
		if a := post(t, url, media, strings.NewReader(empty)); a.StatusCode != http.StatusOK || string(a.body) != empty {
			t.Errorf("nothing: %s %q", a.Status, a.body)
		}
	}
}

// TestServeRefused refuses what is wrong, with what OTLP has for it.
func TestServeRefused(t *testing.T) {
	t.Parallel()
	m := memstore.New()
	s := newTestServer(t, Config{Store: m, MaxRequestBytes: 1 << 20})
	url := serveHTTP(t, s)
	bad := testExport(1, testNow)
	bad.Dictionary.StackTable[1].LocationIndices[0] = 7
	wrong := forms(t, bad)
	good := forms(t, testExport(1, testNow))
	const tooMuch = 1<<20 + 1
	var gz bytes.Buffer
	zeros(t, 64<<20, gzip.NewWriter(&gz))
	for _, c := range []struct {
		name, media, encoding string
		body                  io.Reader
		code                  int
		text                  string
	}{
		{"a wrong index", typeProtobuf, "", bytes.NewReader(wrong[typeProtobuf]), 400, "dictionary.stack_table[1].location_indices[0]: index 7 out of range"},
		{"a wrong index in JSON", typeJSON, "gzip", bytes.NewReader(encode(t, "gzip", wrong[typeJSON])), 400, "dictionary.stack_table[1].location_indices[0]: index 7 out of range"},
		{"no protocol buffer", typeProtobuf, "", strings.NewReader("\xff\xff"), 400, "not a protocol buffer"},
		{"a text that is not UTF-8", typeProtobuf, "", strings.NewReader("\x12\x03\x2a\x01\xff"), 400, "not a protocol buffer"},
		{"no JSON", typeJSON, "", strings.NewReader("resource"), 400, "request: is not an object (at byte 0 of the JSON)"},
		{"a wrong type in JSON", typeJSON, "", strings.NewReader(`{"dictionary":{"stringTable":[1]}}`), 400, "dictionary.string_table[0]: is not a text"},
		{"JSON as protocol buffer", typeProtobuf, "", bytes.NewReader(good[typeJSON]), 400, "not a protocol buffer"},
		{"no gzip", typeProtobuf, "gzip", bytes.NewReader(good[typeProtobuf]), 400, "request: cannot be read: gzip"},
		{"no zstd", typeJSON, "zstd", bytes.NewReader(good[typeJSON]), 400, "request: cannot be read: "},
		{"half a gzip", typeJSON, "gzip", bytes.NewReader(encode(t, "gzip", good[typeJSON])[:40]), 400, "request: cannot be read: unexpected EOF"},
		{"gzip and more", typeJSON, "gzip", bytes.NewReader(append(encode(t, "gzip", good[typeJSON]), "more"...)), 400, "request: cannot be read: "},
		{"a large body that says so", typeProtobuf, "", bytes.NewReader(make([]byte, tooMuch)), 413, "-max-request-bytes"},
		{"a large body", typeProtobuf, "", io.MultiReader(bytes.NewReader(make([]byte, tooMuch))), 413, "has more than 1048576 bytes"},
		{"a large body in gzip", typeJSON, "gzip", bytes.NewReader(gz.Bytes()), 413, "send it in parts"},
		{"a large body in zstd", typeJSON, "zstd", bytes.NewReader(encode(t, "zstd", make([]byte, tooMuch))), 413, "send it in parts"},
		{"much that is nothing in gzip", typeJSON, "gzip", io.MultiReader(bytes.NewReader(bytes.Repeat(encode(t, "gzip", nil), 1<<16))), 413, "send it in parts"},
		{"no type", "", "", bytes.NewReader(good[typeProtobuf]), 415, "application/x-protobuf or application/json"},
		{"another type", "text/plain", "", bytes.NewReader(good[typeProtobuf]), 415, "application/x-protobuf or application/json"},
		{"another encoding", typeProtobuf, "br", bytes.NewReader(good[typeProtobuf]), 415, "gzip, zstd or none"},
		{"two encodings", typeProtobuf, "gzip, gzip", bytes.NewReader(good[typeProtobuf]), 415, "gzip, zstd or none"},
	} {
		headers := []string{}
		if c.encoding != "" {
			headers = append(headers, "Content-Encoding", c.encoding)
		}
		a := post(t, url, c.media, c.body, headers...)
		err := a.status(t)
		want := c.media
		if want != typeProtobuf {
			want = typeJSON
		}
		if a.StatusCode != c.code || !strings.Contains(err.Error(), c.text) || a.Header.Get("Content-Type") != want || a.Header.Get("Retry-After") != "" {
			t.Errorf("%s: %s %s %v", c.name, a.Status, a.Header.Get("Content-Type"), err)
		}
		if c.code == 400 && !namesField(err) {
			t.Errorf("%s: no field is named: %v", c.name, err)
		}
		wrongEncoding := c.code == 415 && c.media == typeProtobuf
		if (a.Header.Get("Accept") != "") != (c.code == 415 && !wrongEncoding) || (a.Header.Get("Accept-Encoding") != "") != wrongEncoding {
			t.Errorf("%s: the answer says what is taken: %v", c.name, a.Header)
		}
	}
	if !isEmpty(t, m) {
		t.Error("something of what was refused is stored")
	}
	if n := s.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	for result, want := range map[string]float64{"too_large": 5, "unsupported": 4, "unreadable": 4} {
		if got := counterValue(t, s.metrics.batches.WithLabelValues("any", result)); got != want {
			t.Errorf("%v requests are counted as %s, want %v", got, result, want)
		}
	}
}

// TestServeLargest takes a request of exactly the largest size.
func TestServeLargest(t *testing.T) {
	t.Parallel()
	for _, most := range []int{40_000, 1 << 16, 100_000} {
		url := serveHTTP(t, newTestServer(t, Config{MaxRequestBytes: most}))
		r := testExport(1, testNow)
		r.ResourceProfiles[0].SchemaUrl = strings.Repeat("x", most-1000)
		r.ResourceProfiles[0].SchemaUrl += strings.Repeat("x", most-proto.Size(r))
		data := forms(t, r)[typeProtobuf]
		if len(data) != most {
			t.Fatalf("the request has %d bytes instead of %d", len(data), most)
		}
		for _, encoding := range []string{"identity", "gzip", "zstd"} {
			body := encode(t, strings.Replace(encoding, "identity", "", 1), data)
			if a := post(t, url, typeProtobuf, bytes.NewReader(body), "Content-Encoding", encoding); a.StatusCode != http.StatusOK {
				t.Errorf("%s, %d: %s %q", encoding, most, a.Status, a.body)
			}
		}
	}
}

// TestTooLargeOverRPC says not to come again, and in the log which flag there is: the
// answer is that of gRPC.
func TestTooLargeOverRPC(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newTestServer(t, Config{MaxRequestBytes: 1 << 16, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := testExport(1, testNow)
	r.ResourceProfiles[0].SchemaUrl = strings.Repeat("x", 1<<16)
	for _, compressor := range []string{encoding.Identity, "gzip", "zstd"} {
		c := collector.NewProfilesServiceClient(dial(t, s, grpc.WithDefaultCallOptions(grpc.UseCompressor(compressor))))
		if _, err := c.Export(t.Context(), r); status.Code(err) != codes.ResourceExhausted || retryAfter(err) != 0 || !strings.Contains(err.Error(), "larger than max") {
			t.Errorf("%s: %v", compressor, err)
		}
	}
	// gRPC answers before it tells the server, which warns and counts then.
	program.Eventually(t, 2*time.Minute, "count of 3 requests as too_large", func(context.Context) bool {
		return counterValue(t, s.metrics.batches.WithLabelValues("any", "too_large")) == 3
	})
	if strings.Count(log.String(), "-max-request-bytes") != 1 {
		t.Errorf("log: %s", log.String())
	}
}

// TestServeLater tells clients when to come again.
func TestServeLater(t *testing.T) {
	t.Parallel()
	ask := func(name string, s *Server, code int, text string) {
		t.Helper()
		url := serveHTTP(t, s)
		for media, data := range forms(t, testExport(1, testNow)) {
			var a *httpAnswer
			for range 5 { // the first may be within the limit
				if a = post(t, url, media, bytes.NewReader(data)); a.StatusCode != http.StatusOK {
					break
				}
			}
			if a.StatusCode == http.StatusOK {
				t.Fatalf("%s: %s", name, a.Status)
			}
			err := a.status(t)
			wait, _ := strconv.Atoi(a.Header.Get("Retry-After"))
			if asked := retryAfter(err); a.StatusCode != code || wait < 1 || time.Duration(wait)*time.Second < asked || asked <= 0 || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %s, Retry-After %q, %v", name, a.Status, a.Header.Get("Retry-After"), err)
			}
		}
		if n := s.budget.inUse(); n != 0 && name != "memory" {
			t.Errorf("%s: %d bytes are still held", name, n)
		}
	}
	ask("rates", newTestServer(t, Config{Rates: limit.Config{Host: limit.Amount{Samples: 1}, Burst: time.Second}}), 429, "host")
	ask("read-only", newTestServer(t, Config{Store: readOnlyStore{memstore.New()}}), 503, "could not be stored")
	busy := newTestServer(t, Config{MaxConcurrent: 1})
	leave, err := busy.slot()
	if err != nil {
		t.Fatal(err)
	}
	ask("slots", busy, 429, "-max-concurrent")
	leave()
	full := newTestServer(t, Config{patience: time.Millisecond})
	if err := full.budget.acquire(t.Context(), full.budget.size-1, time.Second); err != nil {
		t.Fatal(err)
	}
	ask("memory", full, 429, "-ingest-memory")
	slow := newTestServer(t, Config{RequestTimeout: 50 * time.Millisecond})
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	a := post(t, serveHTTP(t, slow), typeJSON, r)
	if err := a.status(t); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(err.Error(), "-request-timeout") {
		t.Errorf("slow: %s %v", a.Status, err)
	}
	if got := counterValue(t, slow.metrics.batches.WithLabelValues("any", "slow")); got != 1 || slow.budget.inUse() != 0 {
		t.Errorf("slow: %v counted, %d bytes are still held", got, slow.budget.inUse())
	}
}

// TestServeBombs sends little that unfolds to much: little memory is used.
func TestServeBombs(t *testing.T) {
	s := newTestServer(t, Config{MaxRequestBytes: 1 << 20})
	url := serveHTTP(t, s)
	gz, zst := bombs(t)
	for _, c := range []struct {
		encoding string
		body     []byte
		code     int
	}{
		{"gzip", gz, 413},
		{"zstd", zst, 413},
		{"zstd", []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00"), 400},
	} {
		hostile.Bound(t, len(c.body)+16<<20, 2, func() {
			if a := post(t, url, typeProtobuf, bytes.NewReader(c.body), "Content-Encoding", c.encoding); a.StatusCode != c.code {
				t.Errorf("%s of %d bytes: %s %q", c.encoding, len(c.body), a.Status, a.body)
			}
		})
	}
	for _, body := range []string{
		`{"resourceProfiles":[` + strings.Repeat(`{},`, 300_000) + `{}]}`,
		`{"dictionary":{"stackTable":[` + strings.Repeat(`{},`, 300_000) + `{}]}}`,
		`{"dictionary":{"stackTable":[{"locationIndices":[` + strings.Repeat(`-1,`, 300_000) + `0]}]}}`,
		`{"x":` + strings.Repeat(`[`, 1_000_000),
	} {
		hostile.Bound(t, len(body), 2*amplifyFactor, func() {
			if a := post(t, url, typeJSON, strings.NewReader(body)); a.StatusCode != 200 && a.StatusCode != 400 {
				t.Errorf("%.40s: %s %q", body, a.Status, a.body)
			}
		})
	}
	if n := s.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// panickingStore has a fault.
type panickingStore struct{ store.Store }

func (panickingStore) Put(context.Context, *store.Definitions) (bool, error) { panic("fault") }

// TestServePanics survives a fault in the handling of a request.
func TestServePanics(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Store: panickingStore{memstore.New()}})
	a := post(t, serveHTTP(t, s), typeProtobuf, bytes.NewReader(forms(t, testExport(1, testNow))[typeProtobuf]))
	if err := a.status(t); a.StatusCode != 500 || !strings.Contains(err.Error(), "internal error") || s.budget.inUse() != 0 {
		t.Errorf("%s %v", a.Status, err)
	}
	if n := counterValue(t, s.metrics.panics); n != 1 || len(s.slots) != 0 {
		t.Errorf("%v panics counted, %d places taken", n, len(s.slots))
	}
}

// FuzzServeProfiles sends any bytes in any form.
func FuzzServeProfiles(f *testing.F) {
	for media, data := range forms(f, testExport(3, testNow)) {
		for _, encoding := range []string{"", "gzip", "zstd"} {
			f.Add(media == typeJSON, encoding, encode(f, encoding, data))
		}
	}
	f.Fuzz(func(t *testing.T, json bool, encoding string, body []byte) {
		m := memstore.New()
		s := newTestServer(t, Config{Store: m, KnownStacks: 64, MaxRequestBytes: 1 << 20})
		r := httptest.NewRequest(http.MethodPost, "/v1development/profiles", bytes.NewReader(body))
		r.Header.Set("Content-Type", map[bool]string{false: typeProtobuf, true: typeJSON}[json])
		r.Header["Content-Encoding"] = []string{encoding}
		w := httptest.NewRecorder()
		hostile.Bound(t, len(body)+1<<20, 2*amplifyFactor, func() { s.ServeProfiles(w, r) })
		a := &httpAnswer{w.Result(), w.Body.Bytes()}
		switch a.StatusCode {
		case 200:
			a.decode(t, &collector.ExportProfilesServiceResponse{})
		case 400:
			if err := a.status(t); !namesField(err) {
				t.Fatal(err)
			}
			fallthrough
		case 413, 415:
			if !isEmpty(t, m) {
				t.Fatalf("%s, and something is stored", a.Status)
			}
		default:
			t.Fatalf("%s %q", a.Status, a.body)
		}
		if held := s.budget.inUse(); held != 0 {
			t.Fatalf("%d bytes of memory are not given back", held)
		}
	})
}
