// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/proto/parca"
)

var _ parca.ProfileStoreServiceServer = (*Server)(nil)

// WriteRaw implements the service of Parca.
func (s *Server) WriteRaw(ctx context.Context, r *parca.WriteRawRequest) (*parca.WriteRawResponse, error) {
	message, err := s.all(ctx, func(yield func(field string, labels map[string]string, raw []byte) bool) {
		for i, series := range r.GetSeries() {
			labels := make(map[string]string, len(series.GetLabels().GetLabels()))
			for _, l := range series.GetLabels().GetLabels() {
				labels[l.GetName()] = l.GetValue()
			}
			for j, sample := range series.GetSamples() {
				if !yield(fmt.Sprintf("series[%d].samples[%d].raw_profile", i, j), labels, sample.GetRawProfile()) {
					return
				}
			}
		}
	})
	s.count(wayParca, message, err)
	if err == nil {
		return &parca.WriteRawResponse{}, nil
	}
	if f := failureOf(err); f.status == http.StatusBadRequest {
		return nil, status.Error(codes.InvalidArgument, f.Error())
	}
	return nil, err
}
