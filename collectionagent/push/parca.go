// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/proto/parca"
)

var _ parca.ProfileStoreServiceServer = (*Server)(nil)

// WriteRaw implements the service of Parca.
func (s *Server) WriteRaw(ctx context.Context, r *parca.WriteRawRequest) (*parca.WriteRawResponse, error) {
	message, err := s.all(ctx, sent(r.GetSeries(), func(one *parca.RawProfileSeries) []*parca.Label { return one.GetLabels().GetLabels() }))
	s.count(wayParca, message, err)
	if err == nil {
		return &parca.WriteRawResponse{}, nil
	}
	if f := failureOf(err); f.status == http.StatusBadRequest {
		return nil, status.Error(codes.InvalidArgument, f.Error())
	}
	return nil, err
}
