// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// hashOfTail returns the hash of a stack of only the last frame but one of testFrames.
func hashOfTail() (hi, lo uint64) {
	h := libpf.HashTrace(testStacks()[1][:1])
	return h.Hi(), h.Lo()
}

// requests are one valid request of each type, in the order of the fuzz test's kinds.
func requests() []proto.Message {
	return []proto.Message{
		testCounts(1), testFrames(1), testFrameMetadata(1), testFallback(1), testExecutables(1), testHost(1), testMetrics(1),
	}
}

// FuzzRequest sends any bytes that decode: the answer is either an
// acknowledgement or a refusal for ever, and in that case nothing is stored.
func FuzzRequest(f *testing.F) {
	for kind, r := range requests() {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(kind), b)
		// Columns of other lengths and values: repeated fields append when a message is repeated.
		f.Add(uint8(kind), append(b, b...))
		f.Add(uint8(kind), b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		all := requests()
		r := all[int(kind)%len(all)]
		if proto.Unmarshal(data, r) != nil {
			return
		}
		m := memstore.New()
		err := send(t, newTestServer(t, Config{Store: m}), r)
		switch {
		case err == nil:
		case status.Code(err) != codes.InvalidArgument && status.Code(err) != codes.OutOfRange:
			t.Fatalf("answer is neither yes nor InvalidArgument nor OutOfRange: %v", err)
		case !isEmpty(t, m):
			t.Fatalf("refused request left something behind: %v", err)
		}
	})
}
