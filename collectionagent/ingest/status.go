// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Limits of what an agent says of itself. It is kept in memory for every host.
const (
	maxStateText   = 64
	maxVersionText = 128
	maxReason      = 64      // of a dropped sample
	maxReasons     = 32      // that samples of a run were dropped for
	maxNote        = 1 << 10 // kept of an error, of what is off and of how to fix it
	maxLimitations = 64
	// maxLedger bounds the numbers of a ledger, so that sums over all hosts do
	// not overflow: 1,000 samples a second for 8,900 years.
	maxLedger = 1 << 48
)

// ReportStatus implements the service. A report whose ledger does not add up is
// kept, as it is what people need to see, and counted.
func (s *Server) ReportStatus(ctx context.Context, r *pb.ReportStatusRequest) (*pb.ReportStatusResponse, error) {
	started := time.Now()
	defer func() { s.metrics.seconds.WithLabelValues("status").Observe(time.Since(started).Seconds()) }()
	report, err := s.validator().status(r)
	if err != nil {
		st, result := s.toStatus(err)
		s.metrics.reports.WithLabelValues(result).Inc()
		return nil, st
	}
	result := "kept"
	if !report.Ledger.AddsUp() {
		result = "inconsistent"
	}
	s.metrics.reports.WithLabelValues(result).Inc()
	s.cfg.Fleet.Note(s.project(ctx), report)
	return &pb.ReportStatusResponse{Epoch: s.epoch, ServerTime: s.cfg.Now().UnixNano()}, nil
}

// status checks and converts what an agent says of itself. Times are taken as
// they are: that an agent's clock is wrong is part of its status.
func (v *validator) status(r *pb.ReportStatusRequest) (*fleet.Report, error) {
	if r.HostId == "" {
		return nil, invalid("host_id", "is empty")
	}
	if len(r.RunId) != 16 {
		return nil, invalid("run_id", "has %d bytes instead of 16", len(r.RunId))
	}
	for _, f := range []struct {
		field, text string
		limit       int
	}{
		{"host_id", r.HostId, maxHostID},
		{"host_name", r.HostName, maxHostName},
		{"agent_version", r.AgentVersion, maxVersionText},
		{"state", r.State, maxStateText},
	} {
		if err := word(f.field, f.text, f.limit); err != nil {
			return nil, err
		}
	}
	report := &fleet.Report{
		HostID: r.HostId, HostName: r.HostName, RunID: [16]byte(r.RunId),
		Time: libpf.UnixTimeNs(r.Time), Start: libpf.UnixTimeNs(r.StartTime),
		AgentVersion: r.AgentVersion, State: r.State,
	}
	var err error
	if report.LastError, err = v.note("last_error", r.LastError); err != nil {
		return nil, err
	}
	if report.Ledger, err = v.ledger(r.Ledger); err != nil {
		return nil, err
	}
	if report.Spool.State, err = v.note("spool.state", r.GetSpool().GetState()); err != nil {
		return nil, err
	}
	for _, n := range []struct {
		field string
		value uint64
		to    *uint64
	}{
		{"spool.bytes", r.GetSpool().GetBytes(), &report.Spool.Bytes},
		{"spool.max_bytes", r.GetSpool().GetMaxBytes(), &report.Spool.MaxBytes},
		{"spool.batches", r.GetSpool().GetBatches(), &report.Spool.Batches},
	} {
		if n.value > maxValue {
			return nil, invalid(n.field, "is %d, at most %d is allowed", n.value, maxValue)
		}
		*n.to = n.value
	}
	report.Limitations, err = v.limitations(r.Limitations)
	return report, err
}

// ledger checks and converts a ledger.
func (v *validator) ledger(l *pb.Ledger) (out fleet.Ledger, err error) {
	if l == nil {
		return out, invalid("ledger", "is missing")
	}
	if len(l.Dropped) > maxReasons {
		return out, invalid("ledger.dropped", "has %d entries, at most %d are allowed", len(l.Dropped), maxReasons)
	}
	out = fleet.Ledger{
		Captured: l.Captured, Recovered: l.Recovered, Stored: l.Stored, Queued: l.Queued, Spooled: l.Spooled,
		Dropped: make(map[string]uint64, len(l.Dropped)),
	}
	for _, n := range []struct {
		field string
		value uint64
	}{
		{"ledger.captured", l.Captured},
		{"ledger.recovered", l.Recovered},
		{"ledger.stored", l.Stored},
		{"ledger.queued", l.Queued},
		{"ledger.spooled", l.Spooled},
	} {
		if n.value > maxLedger {
			return out, invalid(n.field, "is %d, at most %d is allowed", n.value, int64(maxLedger))
		}
	}
	for reason, n := range l.Dropped {
		if err := word("ledger.dropped", reason, maxReason); err != nil {
			return out, err
		}
		if n > maxLedger {
			return out, invalid("ledger.dropped", "%q is %d, at most %d is allowed", reason, n, int64(maxLedger))
		}
		if n > 0 {
			out.Dropped[reason] = n
		}
	}
	return out, nil
}

// limitations checks and converts what is off on a host.
func (v *validator) limitations(list []*pb.Limitation) ([]fleet.Limitation, error) {
	if len(list) > maxLimitations {
		return nil, invalid("limitations", "has %d entries, at most %d are allowed", len(list), maxLimitations)
	}
	out := make([]fleet.Limitation, len(list))
	for i, l := range list {
		field := at("limitations", i)
		for _, t := range []struct {
			name, text string
			to         *string
		}{{"name", l.GetName(), &out[i].Name}, {"effect", l.GetEffect(), &out[i].Effect}, {"fix", l.GetFix(), &out[i].Fix}} {
			var err error
			if *t.to, err = v.note(field+"."+t.name, t.text); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// word checks a short text of printable characters.
func word(field, s string, limit int) error {
	if len(s) > limit {
		return invalid(field, "has %d bytes, at most %d are allowed", len(s), limit)
	}
	if !printable(s) {
		return invalid(field, "holds characters that cannot be printed")
	}
	return nil
}

// note checks the length of a text for people, and returns what is kept of it:
// not the end of a long one, and nothing that cannot be printed, as the ends of
// lines in errors of other programs.
func (v *validator) note(field, s string) (string, error) {
	if err := v.text(field, s); err != nil {
		return "", err
	}
	if len(s) > maxNote {
		end := maxNote
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s), nil
}
