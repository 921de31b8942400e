// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Receipts returns what became of the samples that a project sent since the
// server started. Each time that a batch came counts.
func (s *Server) Receipts(project string) fleet.Receipts { return s.receipts.Receipts(project) }

// account counts the samples of a request by what became of them.
func (s *Server) account(ctx context.Context, r *pb.AddCountsForTracesRequest, ack *pb.Ack, err error) {
	project, weight := s.project(ctx), requestWeight(r)
	switch {
	case err != nil:
		s.receipts.Refused(project, refusal(err), weight)
	case ack.GetDuplicate():
		s.receipts.Duplicate(project, weight)
	default:
		s.receipts.Stored(project, weight)
	}
}

// requestWeight returns the sum of the counts of a request that need not be valid.
func requestWeight(r *pb.AddCountsForTracesRequest) uint64 {
	if len(r.Counts) == 0 {
		return uint64(len(r.Stacks))
	}
	var sum uint64
	for _, n := range r.Counts {
		sum += uint64(n)
	}
	return sum
}

// refusal names the reason of an error in few words.
func refusal(err error) string {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return "invalid"
	case codes.OutOfRange:
		return "time"
	case codes.ResourceExhausted:
		return "limit"
	case codes.Canceled, codes.DeadlineExceeded:
		return "canceled"
	default:
		return "unavailable"
	}
}
