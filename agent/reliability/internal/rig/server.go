// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"
)

// Server is a running collection agent.
type Server struct{ *Program }

// StartServer starts a collection agent on loopback addresses.
func StartServer(bin, dataDir, grpcAddress, httpAddress string, args ...string) (*Server, error) {
	args = append([]string{"-data-dir", dataDir, "-grpc-address", grpcAddress, "-http-address", httpAddress}, args...)
	p, err := Start(filepath.Join(bin, "collectionagent"), httpAddress, args...)
	if err != nil {
		return nil, err
	}
	return &Server{p}, nil
}

func (s *Server) api(ctx context.Context, path string, query url.Values, to any) error {
	u := "http://" + s.HTTP + "/api/v1/" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	b, err := Get(ctx, u)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// allTime is a range that holds every sample that the server accepts.
func allTime(selector string) url.Values {
	now := time.Now()
	return url.Values{"query": {selector}, "from": {seconds(now.Add(-9 * 24 * time.Hour))}, "to": {seconds(now.Add(24 * time.Hour))}}
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// Samples counts what is stored for a selector, of all times.
func (s *Server) Samples(ctx context.Context, selector string) (uint64, error) {
	q := allTime(selector)
	q.Set("limit", "1")
	var answer struct {
		Samples uint64 `json:"samples"`
	}
	err := s.api(ctx, "top", q, &answer)
	return answer.Samples, err
}

// Unknown returns the value of stored samples whose stack the server does not
// know, and the share of frames that have names.
func (s *Server) Unknown(ctx context.Context) (stacks int64, named float64, err error) {
	q := allTime("")
	q.Set("max_nodes", "100")
	var answer struct {
		Unknown    int64   `json:"unknown_stacks"`
		Symbolized float64 `json:"symbolized"`
	}
	err = s.api(ctx, "flamegraph", q, &answer)
	return answer.Unknown, answer.Symbolized, err
}

// Timeline returns the sum of values in each step from a time on, which must be
// a multiple of the step.
func (s *Server) Timeline(ctx context.Context, from, to time.Time, step time.Duration) ([]int64, error) {
	var answer struct {
		Series []struct {
			Values []int64 `json:"values"`
		} `json:"series"`
	}
	q := url.Values{"from": {seconds(from)}, "to": {seconds(to)}, "step": {step.String()}}
	if err := s.api(ctx, "timeline", q, &answer); err != nil {
		return nil, err
	}
	sum := make([]int64, int(to.Sub(from)/step))
	for _, series := range answer.Series {
		for i, v := range series.Values {
			if i < len(sum) {
				sum[i] += v
			}
		}
	}
	return sum, nil
}

// LedgerPage is what /api/v1/ledger says.
type LedgerPage struct {
	// Stored by host ID, as the store holds it.
	Stored map[string]uint64
	// Unaccounted is what agents hold for stored and the server does not have;
	// Inconsistent counts agents whose own ledger does not add up.
	Unaccounted  uint64
	Inconsistent int
}

// LedgerPage asks for the ledger.
func (s *Server) LedgerPage(ctx context.Context) (LedgerPage, error) {
	var answer struct {
		Unaccounted  uint64 `json:"unaccounted"`
		Inconsistent int    `json:"inconsistent"`
		Hosts        []struct {
			HostID       string `json:"host_id"`
			ServerStored uint64 `json:"server_stored"`
		} `json:"hosts"`
	}
	if err := s.api(ctx, "ledger", nil, &answer); err != nil {
		return LedgerPage{}, err
	}
	page := LedgerPage{map[string]uint64{}, answer.Unaccounted, answer.Inconsistent}
	for _, h := range answer.Hosts {
		page.Stored[h.HostID] += h.ServerStored
	}
	return page, nil
}
