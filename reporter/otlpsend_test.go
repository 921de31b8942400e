// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	pc "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

// oneRequestOf is a sample of that weight, which always travels in one request.
func oneRequestOf(weight uint32) *libpf.Sample {
	s := sampleOf(nativeTrace(1, 6), 0)
	s.Count = weight
	s.Value *= int64(weight)
	return s
}

// A batch that may still be cut keeps the stacks of its samples alive, which count.
func TestOTLPBatchesCountWhatTheyHold(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t}
	r := startOTLPTest(t, s.serve(), nil)
	r.Stop() // the flusher is gone, and its part can be played
	const rows, depth = 100, 64
	list, stacks := make([]libpf.Sample, rows), 0
	for i := range list {
		list[i] = *sampleOf(nativeTrace(uint64(i), depth), i)
		stacks += sizeOfTrace(list[i].Trace)
	}
	whole := r.reseal(laneProfiles, newProfilesCargo(r, list, true), maxRequestBytes)
	halves := r.reseal(laneProfiles, newProfilesCargo(r, list, true), len(whole[0].payload)-1)
	for n, batches := range map[int][]*batch{1: whole, 2: halves} {
		held := 0
		for _, b := range batches {
			held += b.bytes() - len(b.payload)
		}
		if least := stacks + rows*rowBytes; len(batches) != n || held < least || held > least+least/4 {
			t.Errorf("%d batches of %d hold %d bytes, of which %d are samples and stacks", len(batches), n, held, least)
		}
	}
}

func reportOTLP(r *OTLPReporter, from, to int) {
	for i := from; i < to; i++ {
		r.ReportSample(sampleOf(nativeTrace(uint64(i%25), 6), i))
	}
}

// outcome is what must become of rows of which the first attempt failed.
type outcome struct {
	dropped string // reason; "": they are sent again and stored
}

// What is said to be worth repeating is repeated, and nothing else.
func TestOTLPCodes(t *testing.T) {
	t.Parallel()
	again, rejected := outcome{}, outcome{dropped: reasonRejected}
	for code, want := range map[codes.Code]outcome{
		codes.Canceled: again, codes.DeadlineExceeded: again, codes.Aborted: again, codes.OutOfRange: again,
		codes.Unavailable: again, codes.DataLoss: again,
		codes.ResourceExhausted: {dropped: reasonExhausted},
		codes.Unknown:           {dropped: reasonServer}, codes.Internal: {dropped: reasonServer},
		codes.InvalidArgument: rejected, codes.NotFound: rejected, codes.AlreadyExists: rejected,
		codes.FailedPrecondition: rejected, codes.Unimplemented: rejected,
		// The agent is refused, not its data.
		codes.Unauthenticated: again, codes.PermissionDenied: again,
	} {
		for _, info := range []bool{false, true} {
			t.Run(fmt.Sprint(code, " with RetryInfo: ", info), func(t *testing.T) {
				t.Parallel()
				err, want := status.Error(code, "no such luck"), want
				if info {
					err = withRetryInfo(code, time.Millisecond)
					if code == codes.ResourceExhausted {
						want = again
					}
				}
				s := &otlpServer{t: t, fault: func(call int, _ *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
					if call == 1 {
						return nil, err
					}
					return &pc.ExportProfilesServiceResponse{}, nil
				}}
				r := startOTLPTest(t, s.serve(), nil)
				checkOutcome(t, r, want, func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.calls })
			})
		}
	}
}

// checkOutcome reports something, of which the first attempt fails.
func checkOutcome(t *testing.T, r *OTLPReporter, want outcome, calls func() int) {
	t.Helper()
	const rows = 64
	r.ReportSample(oneRequestOf(rows))
	eventually(t, "everything is settled", func() bool {
		st := r.Status() // whose state is told after the ledger, and may still be that of the connection
		return st.Ledger.Queued == 0 && (want.dropped == "" && st.Connected || want.dropped != "" && st.State == StateRefused)
	})
	st := r.Status()
	l := checkLedger(t, r)
	if want.dropped == "" {
		if l.Stored != rows || calls() != 2 || !st.Connected {
			t.Errorf("%d calls, status %+v", calls(), st)
		}
	} else if l.Dropped[want.dropped] != rows || calls() != 1 || st.State != StateRefused {
		t.Errorf("%d calls, status %+v", calls(), st)
	}
	if st.LastError == "" {
		t.Error("no error is told")
	}
}

func TestOTLPStatuses(t *testing.T) {
	t.Parallel()
	again, rejected, broken := outcome{}, outcome{dropped: reasonRejected}, outcome{dropped: reasonServer}
	for code, want := range map[int]outcome{
		429: again, 502: again, 503: again, 504: again,
		400: rejected, 402: rejected, 404: rejected, 405: rejected, 408: rejected, 409: rejected, 415: rejected, 418: rejected, 422: rejected, 425: rejected,
		500: broken, 501: broken, 505: broken, 507: broken, 599: broken,
		// The agent or the address is wrong, not the data.
		401: again, 403: again, 301: again, 302: again, 307: again, 308: again,
	} {
		afters := []string{"0"} // which only some may heed
		if code == 429 || code > 501 && code < 505 {
			afters = []string{"", "0", "nonsense", "Mon, 02 Jan 2006 15:04:05 GMT"}
		}
		for _, after := range afters {
			t.Run(fmt.Sprint(code, " after ", after), func(t *testing.T) {
				t.Parallel()
				s := &otlpServer{t: t, httpFault: func(call int, w http.ResponseWriter, _ *http.Request) bool {
					if call > 1 {
						return false
					}
					if after != "" {
						w.Header().Set("Retry-After", after)
					}
					w.Header().Set("Location", "http://127.0.0.1:1/elsewhere?secret")
					answerHTTP(w, code, "no such luck")
					return true
				}}
				r := startOTLPTest(t, s.serveHTTP(), func(_ *Config, o *Options) { o.Protocol = ProtocolHTTP })
				checkOutcome(t, r, want, s.countHTTP)
				text := r.Status().LastError
				if said := strings.Contains(text, "no such luck"); said == (code/100 == 3) || !strings.Contains(text, fmt.Sprint("HTTP ", code)) || strings.Contains(text, "secret") {
					t.Errorf("error %q", text)
				}
			})
		}
	}
}

// Answers that say that all is well, each in its way, and those that do not quite.
func TestOTLPAnswers(t *testing.T) {
	t.Parallel()
	const rows = 64
	write := func(code int, contentType, body string) httpFault {
		return func(call int, w http.ResponseWriter, r *http.Request) bool {
			if call > 1 {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header()["Content-Type"] = nil
			if contentType != "" {
				w.Header().Set("Content-Type", contentType)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	partial, err := proto.Marshal(&pc.ExportProfilesServiceResponse{PartialSuccess: &pc.ExportProfilesPartialSuccess{
		RejectedProfiles: 99, ErrorMessage: "line\n" + strings.Repeat("x", 1000),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		fault   httpFault
		dropped string
		calls   int
	}{
		"empty":             {write(200, "application/x-protobuf", ""), "", 1},
		"no content":        {write(204, "", ""), "", 1},
		"accepted":          {write(202, "text/plain", ""), "", 1},
		"empty partial":     {write(200, "application/x-protobuf", "\x0a\x00"), "", 1},
		"JSON":              {write(200, "application/json; charset=utf-8", `{"partialSuccess":{},"more":1}`), "", 1},
		"remark":            {write(200, "application/json", `{"partialSuccess":{"errorMessage":"an old version"}}`), "", 1},
		"partial in JSON":   {write(200, "application/json", `{"partialSuccess":{"rejectedProfiles":"1","errorMessage":"no"}}`), reasonPartial, 1},
		"partial":           {write(200, "application/x-protobuf", string(partial)), reasonPartial, 1},
		"huge":              {write(200, "application/x-protobuf", strings.Repeat("x", maxAnswerBytes+1)), reasonAnswer, 1},
		"garbled":           {write(200, "application/x-protobuf", "\xff"), reasonAnswer, 1},
		"garbled JSON":      {write(200, "application/json", "["), reasonAnswer, 1},
		"another's page":    {write(200, "text/html", "<h1>Log in</h1>"), "", 2},
		"huge error":        {write(503, "text/plain", strings.Repeat("x", 5<<20)), "", 2},
		"cut off":           {func(call int, w http.ResponseWriter, _ *http.Request) bool { return abort(call, w, "") }, "", 2},
		"cut off half way":  {func(call int, w http.ResponseWriter, _ *http.Request) bool { return abort(call, w, "half") }, "", 2},
		"slower than asked": {func(call int, _ http.ResponseWriter, r *http.Request) bool { return stall(call, r) }, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &otlpServer{t: t, httpFault: tc.fault}
			slow := strings.HasPrefix(name, "slower") // so the machine may be, too
			r := startOTLPTest(t, s.serveHTTP(), func(_ *Config, o *Options) {
				o.Protocol = ProtocolHTTP
				if slow {
					o.Timeout = 500 * time.Millisecond
				}
			})
			r.ReportSample(oneRequestOf(rows))
			eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
			l := checkLedger(t, r)
			if tc.dropped == "" && l.Stored != rows || tc.dropped != "" && l.Dropped[tc.dropped] != rows ||
				s.countHTTP() < tc.calls || s.countHTTP() > tc.calls && !slow {
				t.Errorf("%d calls, ledger %+v", s.countHTTP(), l)
			}
			if text := r.Status().LastError; len(text) > 1000 || strings.Contains(text, "\n") || strings.Contains(text, "rejected 0") {
				t.Errorf("error of %d bytes: %.100q", len(text), text)
			}
		})
	}
}

func abort(call int, w http.ResponseWriter, body string) bool {
	if call > 1 {
		return false
	}
	if body != "" {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

func stall(call int, r *http.Request) bool {
	if call > 1 {
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

// An answer over gRPC that is too large is no reason to send the request again, in parts or as a whole.
func TestOTLPHugeAnswer(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{CompressionNone, CompressionGzip, CompressionZstd} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			s := &otlpServer{t: t, fault: func(int, *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
				return &pc.ExportProfilesServiceResponse{PartialSuccess: &pc.ExportProfilesPartialSuccess{ErrorMessage: strings.Repeat("x", maxAnswerBytes)}}, nil
			}}
			r := startOTLPTest(t, s.serve(), func(_ *Config, o *Options) { o.Compression = compression })
			r.ReportSample(oneRequestOf(64))
			eventually(t, "everything is settled", func() bool { return r.Status().Ledger.Queued == 0 })
			if l := checkLedger(t, r); l.Dropped[reasonAnswer] != 64 || s.calls != 1 {
				t.Errorf("%d calls, ledger %+v", s.calls, l)
			}
		})
	}
}

// What servers say of a request that is too large.
func TestOTLPTooLarge(t *testing.T) {
	t.Parallel()
	const rows, most = 400, 20_000
	for name, fault := range map[string]error{
		"grpc-go":  status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"),
		"unzipped": status.Error(codes.ResourceExhausted, "grpc: received message after decompression larger than max 4194304"),
		"java":     status.Error(codes.ResourceExhausted, "gRPC message exceeds maximum size 4194304: 5000000"),
		"tonic":    status.Error(codes.OutOfRange, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
		"HTTP":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			large := 0
			s := &otlpServer{t: t}
			s.fault = func(_ int, req *pc.ExportProfilesServiceRequest) (*pc.ExportProfilesServiceResponse, error) {
				if proto.Size(req) > most {
					large++
					return nil, fault
				}
				return &pc.ExportProfilesServiceResponse{}, nil
			}
			var change func(*Config, *Options)
			addr := ""
			if fault != nil {
				addr = s.serve()
			} else {
				addr = s.serveHTTP()
				s.fault = nil
				change = func(_ *Config, o *Options) {
					o.Protocol, o.Compression = ProtocolHTTP, CompressionNone
				}
				s.httpFault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if r.ContentLength <= most {
						return false
					}
					s.mu.Lock()
					large++
					s.mu.Unlock()
					answerHTTP(w, http.StatusRequestEntityTooLarge, "too large")
					return true
				}
			}
			r := startOTLPTest(t, addr, change)
			report := func(from, to int) {
				for i := from; i < to; i++ {
					r.ReportSample(sampleOf(nativeTrace(uint64(i), 6), i)) // no two alike, so that they take room
				}
			}
			report(0, rows)
			eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == rows })
			s.mu.Lock()
			before := large
			s.mu.Unlock()
			report(rows, 2*rows)
			eventually(t, "the rest is stored", func() bool { return r.Status().Ledger.Stored == 2*rows })
			r.Stop()
			if l := checkLedger(t, r); len(l.Dropped) > 0 {
				t.Errorf("ledger %+v", l)
			}
			checkTimes(t, s, 0, 2*rows)
			if before == 0 || large > before+3 {
				t.Errorf("%d requests were too large, then %d: the limit is not remembered", before, large-before)
			}
		})
	}
}

// A refusal of what is small already does not make everything tiny.
func TestOTLPLearn(t *testing.T) {
	t.Parallel()
	r := startOTLPTest(t, (&otlpServer{t: t}).serveHTTP(), func(_ *Config, o *Options) { o.Protocol = ProtocolHTTP })
	for _, limit := range []int{1 << 20, 2 << 20, 10} {
		r.learn(limit)
		if got, want := r.requestLimit(), max(min(limit, 1<<20), leastLimit); got != want {
			t.Errorf("after %d the limit is %d, want %d", limit, got, want)
		}
	}
}

// checkTimes requires that the rows from..to-1 are stored, each once, and nothing else.
func checkTimes(t *testing.T, s *otlpServer, from, to int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := map[uint64]int{}
	for _, req := range s.reqs {
		for _, f := range flatten(req) {
			for _, at := range f.Times {
				got[at]++
			}
		}
	}
	for i := from; i < to; i++ {
		if n := got[uint64(sampleOf(nativeTrace(0, 1), i).Time)]; n != 1 {
			t.Fatalf("row %d is stored %d times", i, n)
		}
	}
	if len(got) != to-from {
		t.Errorf("%d rows are stored, want %d", len(got), to-from)
	}
}

// Both transports, every compression: the server gets the same, and the bytes are counted.
func TestOTLPTransports(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{ProtocolGRPC, ProtocolHTTP} {
		for _, compression := range []string{"", CompressionGzip, CompressionZstd, CompressionNone} {
			t.Run(protocol+" "+compression, func(t *testing.T) {
				t.Parallel()
				s := &otlpServer{t: t}
				addr := ""
				if protocol == ProtocolGRPC {
					addr = s.serve()
				} else {
					addr = s.serveHTTP()
				}
				r := startOTLPTest(t, addr, func(_ *Config, o *Options) {
					o.Protocol, o.Compression = protocol, compression
					o.Headers = map[string]string{"X-Tenant": "one"}
				})
				reportOTLP(r, 0, 100)
				eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == 100 })
				r.Stop()
				checkTimes(t, s, 0, 100)
				var size int64
				for _, req := range s.reqs {
					size += int64(proto.Size(req))
				}
				m := r.GetMetrics()
				if m.RPCBytesOutCount != size || m.WireBytesOutCount == 0 || (compression != CompressionNone) != (m.WireBytesOutCount < size) {
					t.Errorf("%+v, requests have %d bytes", m, size)
				}
				if protocol == ProtocolHTTP {
					want := map[string]string{"": "gzip", "none": ""}
					encoding, ok := want[compression]
					if !ok {
						encoding = compression
					}
					h := s.headers[0]
					if h.Get("Content-Encoding") != encoding || h.Get("X-Tenant") != "one" || !strings.HasPrefix(h.Get("User-Agent"), "strobe-agent/1.2") {
						t.Errorf("headers %v", h)
					}
				}
			})
		}
	}
}
