// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// statusEvery is the least time between reports of status, unless the state changed.
const statusEvery = 10 * time.Second

// statusReport tells the server how the agent does. Only the flusher uses it.
type statusReport struct {
	send    func(ctx context.Context) error // nil: the server has no use for it
	last    time.Time
	changes uint64 // of the state, at the last report
	refused bool   // the server does not know the RPC
}

// tell reports the status after a flush if it is time. It is never repeated: the
// next one says more.
func (p *pump) tell() {
	changes, connected := p.state.seen()
	now := time.Now()
	if !connected || (changes == p.report.changes && now.Sub(p.report.last) < statusEvery) {
		return
	}
	p.report.changes = changes
	p.reportStatus(now)
}

func (p *pump) reportStatus(now time.Time) {
	if p.report.send == nil || p.report.refused {
		return
	}
	p.report.last = now
	ctx, cancel := context.WithTimeout(p.ctx, min(p.settings.timers.operation, p.settings.timers.connect))
	defer cancel()
	err := p.report.send(ctx)
	p.report.refused = status.Code(err) == codes.Unimplemented
	p.meters.reported(err)
}

// sendStatus makes the report of a GRPCReporter.
func (r *GRPCReporter) sendStatus(ctx context.Context) error {
	st := r.Status()
	req := &pb.ReportStatusRequest{
		HostId: r.settings.HostID, RunId: r.settings.RunID[:], HostName: r.settings.HostName,
		Time: time.Now().UnixNano(), StartTime: r.started.UnixNano(), AgentVersion: cleanText(r.settings.AgentVersion),
		State: st.State.String(), LastError: cleanText(st.LastError),
		Ledger: &pb.Ledger{
			Captured: st.Ledger.Captured, Recovered: st.Ledger.Recovered, Stored: st.Ledger.Stored,
			Queued: st.Ledger.Queued, Spooled: st.Ledger.Spooled, Dropped: st.Ledger.Dropped,
		},
		Spool: &pb.Spool{
			State: cleanText(st.Spool.State), Bytes: uint64(st.Spool.Bytes), MaxBytes: uint64(st.Spool.MaxBytes), //nolint:gosec // not negative
			Batches: uint64(st.Spool.Batches), //nolint:gosec // not negative
		},
	}
	if r.settings.Limitations != nil {
		for _, l := range r.settings.Limitations() {
			req.Limitations = append(req.Limitations, &pb.Limitation{
				Name: cleanText(l.Name), Effect: cleanText(l.Effect), Fix: cleanText(l.Fix),
			})
		}
	}
	_, err := r.client.ReportStatus(ctx, req)
	return err
}
