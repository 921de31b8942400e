// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	pc "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

// sealedSample returns a request with all kinds of things in it.
func sealedSample(t testing.TB, rows int) []byte {
	t.Helper()
	s, err := newOTLPSettings(&Config{CollAgentAddr: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &OTLPReporter{settings: s}
	if r.catalogue, err = newCatalogue(&r.settings, func() {}); err != nil {
		t.Fatal(err)
	}
	var list []libpf.Sample
	for i := range rows {
		row := sampleOf(nativeTrace(uint64(i%5), 3), i)
		switch i % 4 {
		case 1:
			row.Labels = []libpf.Label{{Key: "a", Value: "b"}}
		case 2:
			row.TraceID, row.SpanID = [16]byte{1, byte(i)}, [8]byte{2}
		case 3:
			row.Type, row.Value = libpf.SampleOffCPU, int64(i)
		}
		list = append(list, *row)
	}
	payload, _ := r.sealProfiles(sortRows(list), 1)
	return payload
}

// The halves together say what the whole did, and each is as it should be.
func TestSplitProfiles(t *testing.T) {
	t.Parallel()
	whole := sealedSample(t, 50)
	parts := [][]byte{whole}
	for range 4 {
		var smaller [][]byte
		for _, part := range parts {
			a, b, err := splitProfiles(part)
			if err != nil {
				t.Fatal(err)
			}
			smaller = append(smaller, a, b)
		}
		parts = smaller
	}
	seen := func(payloads ...[]byte) map[string][]int64 {
		got := map[string][]int64{}
		ids := map[string]bool{}
		for _, payload := range payloads {
			req := &pc.ExportProfilesServiceRequest{}
			if err := proto.Unmarshal(payload, req); err != nil {
				t.Fatal(err)
			}
			if err := checkProfiles(req); err != nil {
				t.Error(err)
			}
			for _, f := range flatten(req) {
				values := f.Values
				for i, at := range f.Times {
					one := f
					one.Times, one.Values = []uint64{at}, nil
					value := int64(1)
					if len(values) > 0 {
						value = values[i]
					}
					key := cmp.Diff(flat{}, one)
					got[key] = append(got[key], value)
				}
			}
			for _, p := range req.GetResourceProfiles()[0].GetScopeProfiles()[0].GetProfiles() {
				if ids[string(p.GetProfileId())] {
					t.Error("two profiles have the same ID")
				}
				ids[string(p.GetProfileId())] = true
			}
		}
		return got
	}
	if diff := cmp.Diff(len(seen(whole)), 50); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(seen(whole), seen(parts...)); diff != "" {
		t.Errorf("(-whole +parts):\n%s", diff)
	}
	if n := countProfiles(whole); n != 2 {
		t.Errorf("%d profiles", n)
	}
	if _, _, err := splitProfiles(sealedSample(t, 1)); err == nil {
		t.Error("a single observation was split")
	}
}

func FuzzSplitProfiles(f *testing.F) {
	f.Add(sealedSample(f, 5))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		countProfiles(payload)
		a, b, err := splitProfiles(payload)
		if err != nil {
			return
		}
		if countProfiles(a) == 0 || countProfiles(b) == 0 {
			t.Error("a half is empty")
		}
	})
}

// Whatever a backend answers, it is judged and told in a line.
func FuzzOTLPAnswer(f *testing.F) {
	f.Add(200, "application/x-protobuf", "", []byte{0x0a, 0})
	f.Add(200, "application/json", "", []byte(`{"partialSuccess":{"rejectedProfiles":"1"}}`))
	f.Add(503, "text/plain; charset=utf-8", "Sat, 21 Nov 2026 10:00:00 GMT", []byte("busy\n"))
	f.Add(429, "application/x-protobuf", "120", []byte{0x12, 1, 'x'})
	f.Fuzz(func(t *testing.T, code int, contentType, after string, body []byte) {
		err := readAnswer(contentType, body, &pc.ExportProfilesServiceResponse{})
		if code/100 != 2 {
			err = newHTTPError(&http.Response{StatusCode: code, Header: http.Header{
				"Content-Type": {contentType}, "Retry-After": {after}, "Location": {after},
			}}, body)
		}
		a := judgeOTLP(err)
		if (a.verdict == accepted) != (err == nil) || a.wait < 0 || a.wait > maxRetryInfo || (a.verdict == notAgain) != (a.reason != "") {
			t.Errorf("%v is judged %+v", err, a)
		}
		if err == nil {
			return
		}
		if text := err.Error(); len(text) > 1000 || strings.Contains(text, "\n") || !utf8.ValidString(text) {
			t.Errorf("error %q", text)
		}
	})
}
