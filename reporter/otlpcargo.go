// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/reporter/internal/spool"
)

// profilesCargo is samples for OTLP: rows, or the bytes of a request once the rows are
// gone, such as one of an earlier run.
type profilesCargo struct {
	r        *OTLPReporter
	rows     []libpf.Sample
	sealed   []byte // instead of rows
	sum      uint64 // of the counts
	bytes    int    // that rows keep alive
	profiles int    // in the request; 0: count them
	shared   bool   // rows is part of a buffer whose other part lives on
}

func newProfilesCargo(r *OTLPReporter, rows []libpf.Sample, shared bool) *profilesCargo {
	c := &profilesCargo{r: r, rows: rows, shared: shared}
	for i := range rows {
		c.sum += uint64(rows[i].Count)
	}
	return c
}

func (c *profilesCargo) encode(sequence uint64) ([]byte, error) {
	if c.sealed != nil {
		return c.sealed, nil
	}
	payload, profiles := c.r.sealProfiles(c.rows, sequence)
	c.profiles, c.bytes = profiles, c.r.encoder.held
	return payload, nil
}

func (*profilesCargo) newResponse() proto.Message { return &collector.ExportProfilesServiceResponse{} }

// acknowledge settles the samples. A partial success counts profiles and does not
// say which, so the weight is shared out evenly.
func (c *profilesCargo) acknowledge(resp proto.Message) {
	r, _ := resp.(*collector.ExportProfilesServiceResponse)
	partial := r.GetPartialSuccess()
	if rejected := partial.GetRejectedProfiles(); rejected > 0 {
		of := uint64(max(c.count(), 1)) //nolint:gosec // positive
		n := min(uint64(rejected), of)
		c.r.pump.meters.rejectedProfiles.Add(n)
		lost := c.sum/of*n + c.sum%of*n/of // a sum from disk may be too large to be multiplied
		c.r.samples.settle(lost, reasonPartial)
		c.sum -= lost
	}
	if partial.GetRejectedProfiles() > 0 || partial.GetErrorMessage() != "" {
		c.r.pump.tellPartial(partial.GetRejectedProfiles(), partial.GetErrorMessage())
	}
	c.settle("")
}

// tellPartial takes note of what a server says that took a request, perhaps in part.
func (p *pump) tellPartial(rejected int64, message string) {
	message = shortText(message)
	if rejected > 0 {
		p.state.note(fmt.Errorf("the backend rejected %d profiles of a request: %s", rejected, message))
	} else {
		p.state.note(fmt.Errorf("the backend took a request with a remark: %s", message))
	}
	if p.speak(reasonPartial) {
		p.log.Warn("the backend took a request with a remark", "rejected_profiles", rejected, "message", message)
	}
}

// count returns the number of profiles in the request.
func (c *profilesCargo) count() int {
	if c.profiles == 0 {
		c.profiles = countProfiles(c.sealed)
	}
	return c.profiles
}

func (c *profilesCargo) discard(reason string) { c.settle(reason) }

func (c *profilesCargo) settle(reason string) {
	c.r.samples.settle(c.sum, reason)
	if c.sealed == nil && !c.shared {
		c.r.samples.release(c.rows)
	}
	c.rows, c.sealed = nil, nil
}

func (c *profilesCargo) halves() (first, second cargo, ok bool) {
	if c.sealed != nil {
		return c.sealedHalves()
	}
	if len(c.rows) < 2 {
		return nil, nil, false
	}
	n := len(c.rows) / 2
	return newProfilesCargo(c.r, c.rows[:n:n], true), newProfilesCargo(c.r, c.rows[n:], true), true
}

// sealedHalves cuts a request. What a sample stood for is not in it, so the weight is
// shared out by the number of observations.
func (c *profilesCargo) sealedHalves() (first, second cargo, ok bool) {
	a, b, err := splitProfiles(c.sealed)
	if err != nil {
		return nil, nil, false
	}
	half := c.sum / 2
	return &profilesCargo{r: c.r, sealed: a, sum: half}, &profilesCargo{r: c.r, sealed: b, sum: c.sum - half}, true
}

func (c *profilesCargo) held() int      { return c.bytes }
func (c *profilesCargo) weight() uint64 { return c.sum }
func (c *profilesCargo) toDisk()        { c.r.samples.spool(c.sum) }
func (c *profilesCargo) fromDisk()      { c.r.samples.unspool(c.sum) }

// OTLP has no window of time.
func (*profilesCargo) within(window) (cargo, bool) { return nil, false }

// thaw implements freezer: a request of any run is sent as it is.
func (r *OTLPReporter) thaw(rec *spool.Record) *batch {
	if int(rec.Kind) >= len(spoolKinds) || spoolKinds[rec.Kind].kind != laneProfiles {
		return nil
	}
	return &batch{
		kind: laneProfiles, method: exportMethod, sequence: rec.Sequence, payload: rec.Payload, order: rec.Order,
		cargo: &profilesCargo{r: r, sealed: rec.Payload, sum: rec.Weight},
	}
}
