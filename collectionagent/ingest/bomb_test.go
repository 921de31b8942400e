// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/support/hostile"
	"github.com/strobe-profiler/strobe/support/program"
)

// rawClient speaks gRPC by hand, so that it can send what no honest library would.
type rawClient struct {
	http *http.Client
	url  string
}

// newRawClient serves s on a real port.
func newRawClient(t *testing.T, s *Server) *rawClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, _ := s.NewGRPCServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &rawClient{
		http: &http.Client{Transport: transport},
		url:  "http://" + listener.Addr().String() + "/" + pb.CollectionAgent_ServiceDesc.ServiceName + "/",
	}
}

// call sends one message, which is compressed as it says, and returns the code
// and the text of the answer.
func (c *rawClient) call(t *testing.T, method, compressor string, message []byte) (code, text string) {
	t.Helper()
	frame := make([]byte, 5, 5+len(message))
	if compressor != "" {
		frame[0] = 1
	}
	binary.BigEndian.PutUint32(frame[1:], uint32(len(message)))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+method, bytes.NewReader(append(frame, message...)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	if compressor != "" {
		r.Header.Set("Grpc-Encoding", compressor)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	// An answer that is only an error has its status among the headers.
	for _, h := range []http.Header{answer.Trailer, answer.Header} {
		if v := h.Get("Grpc-Status"); v != "" {
			return v, h.Get("Grpc-Message")
		}
	}
	t.Fatalf("answer without a status: %v", answer)
	return "", ""
}

// zeros compresses n zero bytes.
func zeros(t *testing.T, n int64, w io.WriteCloser) {
	t.Helper()
	if err := writeZeros(n, w); err != nil {
		t.Fatal(err)
	}
}

func writeZeros(n int64, w io.WriteCloser) error {
	_, err := io.CopyN(w, zeroReader{}, n)
	return errors.Join(err, w.Close())
}

// gzipBomb and zstdBomb are 256 MiB of zero bytes. Several tests send them, and with the
// race detector it takes long to make them.
var (
	gzipBomb = sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		err = writeZeros(256<<20, w)
		return b.Bytes(), err
	})
	zstdBomb = sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		err = writeZeros(256<<20, w)
		return b.Bytes(), err
	})
)

// bombs returns both.
func bombs(t *testing.T) (gz, zst []byte) {
	t.Helper()
	gz, err := gzipBomb()
	if err != nil {
		t.Fatal(err)
	}
	if zst, err = zstdBomb(); err != nil {
		t.Fatal(err)
	}
	return gz, zst
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestCompressedBombs sends messages that unfold to gigabytes, or that ask for
// windows of gigabytes, to a real server: it refuses them with little memory and goes on.
func TestCompressedBombs(t *testing.T) {
	s := newTestServer(t, Config{MaxRequestBytes: 1 << 20})
	c := newRawClient(t, s)
	zstdZeros := func(n int64, options ...zstd.EOption) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		zeros(t, n, w)
		return b.Bytes()
	}
	gz, zst := bombs(t)
	small, err := proto.Marshal(&pb.GetServerInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	resourceExhausted, internal := "8", "13"
	for _, test := range []struct {
		name, compressor string
		message          []byte
		code             string
	}{
		{"gzip of 256 MiB", "gzip", gz, resourceExhausted},
		{"zstd of 256 MiB", "zstd", zst, resourceExhausted},
		{"zstd with a window of 512 MiB", "zstd", zstdZeros(1<<20, zstd.WithWindowSize(zstd.MaxWindowSize)), internal},
		// A frame header of 14 bytes that declares 2^62 bytes of content in a single segment.
		{"zstd that declares 4 EiB", "zstd", []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00"), internal},
		{"zstd of zstd frames", "zstd", bytes.Repeat(zstdZeros(1<<16), 1<<12), resourceExhausted},
		{"a message of 2 MiB as it is", "", make([]byte, 2<<20), resourceExhausted},
	} {
		// What the client sends and the buffers of both ends count too.
		hostile.Bound(t, len(test.message)+16<<20, 4, func() {
			if code, text := c.call(t, "GetServerInfo", test.compressor, test.message); code != test.code {
				t.Errorf("%s: status %s %s, want %s", test.name, code, text, test.code)
			}
		})
		if code, text := c.call(t, "GetServerInfo", "", small); code != "0" {
			t.Fatalf("after %s: status %s %s", test.name, code, text)
		}
	}
	// gRPC answers before it tells the server, which counts then.
	for result, want := range map[string]float64{"too_large": 4, "unreadable": 2} {
		program.Eventually(t, 2*time.Minute, fmt.Sprintf("count of %v requests as %s", want, result), func(context.Context) bool {
			return counterValue(t, s.metrics.batches.WithLabelValues("any", result)) == want
		})
	}
	if code, text := c.call(t, "AddMetrics", "", []byte("\xff\xff\xff")); code != "3" {
		t.Errorf("what does not decode: status %s %s, want 3", code, text)
	}
}

// TestUnfoldingBombs sends small requests that stand for far more than they hold.
func TestUnfoldingBombs(t *testing.T) {
	long := strings.Repeat("x", Limits{}.withDefaults().MaxTextBytes)
	ones := func(n int) []uint32 {
		s := make([]uint32, n)
		for i := range s {
			s[i] = 1
		}
		return s
	}
	series := testCounts(1)
	series.StringTable = append(series.StringTable, long)
	texts := uint32(len(series.StringTable) - 1)
	series.Processes, series.SourceProcesses, series.SourceThreads = nil, nil, nil
	series.TimeDeltas, series.Stacks, series.Sources = nil, nil, nil
	series.Counts, series.Values, series.Types, series.Cpus, series.Labels, series.SpanRefs = nil, nil, nil, nil, nil, nil
	for i := range uint32(1000) {
		series.Processes = append(series.Processes, &pb.Process{Pid: i, Name: texts, Executable: texts, Service: texts, Namespace: texts})
		series.SourceProcesses, series.SourceThreads = append(series.SourceProcesses, i), append(series.SourceThreads, 0)
		series.TimeDeltas, series.Stacks, series.Sources = append(series.TimeDeltas, 0), append(series.Stacks, 0), append(series.Sources, i)
	}

	frames := testFrames(1)
	frames.StringTable[1] = long
	frames.HiTraceHashes, frames.LoTraceHashes, frames.FrameCounts = nil, nil, nil
	frames.Frames = nil
	python := testStacks()[1][0]
	python.FunctionName = long
	for range 10 { // ten stacks of a thousand frames whose name takes 64 KiB: 640 MiB on disk
		stack := make([]libpf.Frame, 1000)
		for i := range stack {
			stack[i] = python
			frames.Frames = append(frames.Frames, 3)
		}
		h := libpf.HashTrace(stack)
		frames.HiTraceHashes, frames.LoTraceHashes = append(frames.HiTraceHashes, h.Hi()), append(frames.LoTraceHashes, h.Lo())
		frames.FrameCounts = append(frames.FrameCounts, 1000)
	}

	names := testFrameMetadata(1)
	names.StringTable[1] = long
	names.Files, names.Addresses, names.LineCounts = []uint32{0}, []uint64{1}, []uint32{maxLines}
	names.Functions, names.SystemNames, names.SourceFiles = ones(maxLines), ones(maxLines), ones(maxLines)
	names.Lines, names.StartLines = make([]uint64, maxLines), nil

	for field, b := range map[string]struct {
		method  string
		request proto.Message
	}{
		"sources":   {"AddCountsForTraces", series},
		"frames":    {"SetFramesForTraces", frames},
		"functions": {"AddFrameMetadata", names},
	} {
		m := memstore.New()
		s := newTestServer(t, Config{Store: m, MaxRequestBytes: 1 << 20, KnownStacks: 64})
		data, err := proto.Marshal(b.request)
		if err != nil || len(data) > 1<<20 {
			t.Fatalf("%s: the request itself has %d bytes, %v", field, len(data), err)
		}
		hostile.Bound(t, len(data)+amplifyFree/amplifyFactor, 2*amplifyFactor, func() {
			_, err := callRaw(t, s, b.method, data)
			if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.HasPrefix(st.Message(), field+": ") || !namesField(err) {
				t.Errorf("%s: %v", field, err)
			}
		})
		if !isEmpty(t, m) {
			t.Errorf("%s: refused request left something behind", field)
		}
		if held := s.budget.inUse(); held != 0 {
			t.Errorf("%s: %d bytes of the budget are not given back", field, held)
		}
	}
}

// TestManyMessages sends millions of empty messages, two bytes each: they are
// refused before one is made.
func TestManyMessages(t *testing.T) {
	s := newTestServer(t, Config{})
	for name, number := range map[string]byte{"processes": 5, "label_sets": 8} {
		data := bytes.Repeat([]byte{number<<3 | 2, 0}, 4<<20)
		hostile.Bound(t, len(data), 4, func() {
			_, err := callRaw(t, s, "AddCountsForTraces", data)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	// As many as agents send are fine as far as decoding goes.
	data := bytes.Repeat([]byte{5<<3 | 2, 0}, 1<<14)
	if _, err := callRaw(t, s, "AddCountsForTraces", data); !strings.Contains(err.Error(), "batch: is missing") {
		t.Error(err)
	}
}
