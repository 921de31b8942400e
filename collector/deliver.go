// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/strobe-profiler/strobe/reporter"
)

const (
	// maxBatchBytes is what OTLP receivers take that were not configured (4 MiB), less
	// what may be written in another way than here.
	maxBatchBytes = 3 << 20
	// A batch is repeated after a pause that doubles from the first to the second, until
	// it has waited for the third.
	minRetryPause = 500 * time.Millisecond
	maxRetryPause = 30 * time.Second
	maxRetryTime  = 5 * time.Minute
	// hostInterval is how often to look whether the host has changed.
	hostInterval = time.Minute
)

// deliver hands on what is gathered until drain is closed, and then what is left, as
// long as ctx lasts.
func (p *profiler) deliver(ctx context.Context) {
	timer := time.NewTimer(p.interval())
	defer timer.Stop()
	host := time.NewTicker(hostInterval)
	defer host.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.batches.HalfFull():
		case <-host.C:
			p.describeHost()
			p.limits.Ask() // once, when the start is long over
			p.meters.refresh()
			continue
		case <-p.drain:
			p.flush(ctx)
			return
		}
		p.flush(ctx)
		timer.Reset(p.interval())
	}
}

// interval is reporter_interval, varied by reporter_jitter.
func (p *profiler) interval() time.Duration {
	return time.Duration(float64(p.cfg.ReporterInterval) * (1 + p.cfg.ReporterJitter*(2*rand.Float64()-1))) //nolint:gosec // no secret
}

func (p *profiler) flush(ctx context.Context) {
	for {
		batches := p.batches.Take(maxBatchBytes)
		if len(batches) == 0 {
			return
		}
		for _, b := range batches {
			p.handOn(ctx, b)
		}
	}
}

// handOn repeats a batch until it is taken or will not be.
func (p *profiler) handOn(ctx context.Context, b *reporter.Batch) {
	begun := time.Now()
	for pause := minRetryPause; ctx.Err() == nil; pause = min(2*pause, maxRetryPause) {
		op := p.meters.begin(ctx)
		samples, err := p.consume(op, b.Payload)
		if err == nil {
			p.meters.end(op, samples, nil)
			b.Delivered()
			return
		}
		if reason := final(err, time.Since(begun)); reason != "" {
			p.meters.end(op, samples, err)
			p.log.Error("the pipeline did not take samples, which are lost", "err", err, "samples", samples, "reason", reason)
			b.Drop(reason)
			return
		}
		p.meters.end(op, 0, err) // the samples count when their fate is known
		if pause == minRetryPause {
			p.log.Warn("the pipeline did not take samples, trying again", "err", err, "samples", samples)
		}
		p.waitToRetry(ctx, pause)
	}
	b.Drop(reporter.DropShutdown)
}

// final says why a batch is not repeated after an error, "" if it is.
func final(err error, waited time.Duration) string {
	switch {
	case consumererror.IsPermanent(err):
		return reporter.DropRejected
	case waited > maxRetryTime:
		return reporter.DropUndelivered
	}
	return ""
}

// waitToRetry pauses, for a shorter time once the end has begun.
func (p *profiler) waitToRetry(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-ctx.Done():
		return
	case <-p.drain:
	}
	timer.Reset(minRetryPause)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// consume gives a copy of a batch to the next component, which owns it from then on.
func (p *profiler) consume(ctx context.Context, payload []byte) (samples int, err error) {
	profiles, err := (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(payload)
	if err != nil {
		return 0, consumererror.NewPermanent(fmt.Errorf("read what was encoded: %w", err))
	}
	samples = profiles.SampleCount()
	return samples, p.next.ConsumeProfiles(ctx, profiles)
}
