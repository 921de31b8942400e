// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// TestMeasure compares what is charged for a field with what decoding makes of it.
func TestMeasure(t *testing.T) {
	t.Parallel()
	charged := func(m *pb.SetFramesForTracesRequest) int64 {
		t.Helper()
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		used := &meter{budget: &budget{size: 1 << 30}, limit: 1 << 30}
		defer used.release()
		if err := measure(data, m, used); err != nil {
			t.Fatal(err)
		}
		return used.used
	}
	empty := charged(&pb.SetFramesForTracesRequest{})
	for name, c := range map[string]struct {
		request *pb.SetFramesForTracesRequest
		want    int64
	}{
		"numbers of fixed size, all bytes low":  {&pb.SetFramesForTracesRequest{HiTraceHashes: make([]uint64, 1000)}, 8 * 1000},
		"numbers of fixed size, all bytes high": {&pb.SetFramesForTracesRequest{HiTraceHashes: []uint64{1<<64 - 1, 1<<64 - 1}}, 8 * 2},
		"short varints":                         {&pb.SetFramesForTracesRequest{Frames: make([]uint32, 1000)}, 4 * 1000},
		"long varints":                          {&pb.SetFramesForTracesRequest{FrameAddresses: []uint64{1 << 63, 1 << 63, 1 << 63}}, 8 * 3},
		"texts":                                 {&pb.SetFramesForTracesRequest{StringTable: []string{"", "abc"}}, 2*stringBytes + 3},
	} {
		if got := charged(c.request) - empty; got != c.want {
			t.Errorf("%s: %d bytes are charged instead of %d", name, got, c.want)
		}
	}
}
