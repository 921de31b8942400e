// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"time"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"google.golang.org/grpc"
)

// ReportHostMetadataBlocking implements the HostMetadataReporter interface. It sends
// at once and returns when the server has stored the description, with nil, or when
// 1 + maxRetries attempts failed, the server called the description invalid, ctx
// ended or the reporter stopped. It waits waitRetry between attempts.
// A negative maxRetries means Config.MaxGRPCRetries, and a waitRetry of 0
// or less Times.GRPCStartupBackoffTime.
//
// Every attempt is the same batch. After a failure the description is queued, so
// that it arrives all the same when the server does.
func (r *GRPCReporter) ReportHostMetadataBlocking(ctx context.Context, metadataMap map[string]string,
	maxRetries int, waitRetry time.Duration,
) error {
	if maxRetries < 0 {
		maxRetries = int(r.settings.MaxGRPCRetries)
	}
	if waitRetry <= 0 {
		waitRetry = r.settings.timers.startupBackoff
	}
	host := r.describeHost(metadataMap)
	b, err := r.lanes[laneHost].seal(&hostCargo{r: r, host: host}, r.requestLimit())
	if err != nil {
		r.pump.meters.setAside(laneHost, reasonTooLarge, 1)
		return fmt.Errorf("report host metadata: %w", err)
	}
	for attempt := 0; ; attempt++ {
		err = r.sendHost(ctx, b)
		if err == nil {
			return nil
		}
		r.pump.meters.failed(laneHost, err)
		r.pump.state.note(err)
		a := classify(err)
		if a.verdict == invalid {
			r.pump.meters.setAside(laneHost, reasonRejected, 1)
			return fmt.Errorf("report host metadata: %w", err)
		}
		if attempt >= maxRetries {
			break
		}
		if stop := r.sleep(ctx, max(waitRetry, a.wait)); stop != nil {
			err = stop
			break
		}
		r.pump.meters.retried(laneHost)
	}
	if r.hosts.empty() {
		r.hosts.push(host)
	}
	return fmt.Errorf("report host metadata: %w", err)
}

// sendHost makes one attempt, waiting for the connection within its deadline.
func (r *GRPCReporter) sendHost(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(withHeaders(ctx, r.settings.Headers), r.settings.timers.operation)
	defer cancel()
	defer context.AfterFunc(r.pump.ctx, cancel)()
	r.link.conn.Connect()
	resp := &pb.ReportHostMetadataResponse{}
	err := r.link.conn.Invoke(ctx, b.method, b.payload, resp, grpc.ForceCodecV2(sealedCodec{}), grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	r.pump.meters.acknowledged(laneHost)
	r.noteAck(laneHost, resp.GetAck())
	return nil
}

// sleep waits, and returns an error when the wait was cut short.
func (r *GRPCReporter) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.pump.stopping:
		return errStopped
	}
}
