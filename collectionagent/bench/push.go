// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// errNoOTLP says that the server does not take OTLP.
var errNoOTLP = errors.New("the server does not take OTLP")

// pushed is what sending took.
type pushed struct {
	samples     int
	cpu, wall   time.Duration // of the server
	peak, bytes int64         // resident memory, data directory
	p50, p95    time.Duration // of requests
}

// pusher sends everything to an address. It reports how long each request took, in
// nanoseconds, and returns how many samples it sent.
type pusher func(ctx context.Context, address string, took func(int)) (samples int, err error)

// push measures sending.
func (b *bench) push(ctx context.Context, pid int, send func(ctx context.Context, took func(int)) (int, error)) (p pushed, err error) {
	var mu sync.Mutex
	var times []int
	before, began := cpu(pid), time.Now()
	p.samples, err = send(ctx, func(ns int) {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, ns)
	})
	if err != nil {
		return p, err
	}
	p.cpu, p.wall, p.peak = cpu(pid)-before, time.Since(began), resident(pid, "VmHWM:")
	p.p50, p.p95 = quantile(times, 0.5), quantile(times, 0.95)
	return p, nil
}

// quantile returns a quantile of durations, sorting them.
func quantile(ns []int, q float64) time.Duration {
	if len(ns) == 0 {
		return 0
	}
	slices.Sort(ns)
	return time.Duration(ns[int(math.Ceil(q*float64(len(ns))))-1])
}

// dial connects to a server on this machine.
func dial(address string, options ...grpc.CallOption) (*grpc.ClientConn, error) {
	options = append(options, grpc.MaxCallSendMsgSize(256<<20))
	return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(options...))
}

// timed reports how long a request took.
func timed(took func(int), f func() error) error {
	began := time.Now()
	err := f()
	took(int(time.Since(began)))
	return err
}

// each calls f for each window of each host, as many at once as there may be.
func (b *bench) each(ctx context.Context, f func(ctx context.Context, host, window int) (samples int, err error)) (samples int, err error) {
	type place struct{ host, window int }
	places := make(chan place)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range b.inFlight {
		workers.Go(func() {
			for p := range places {
				n, sendErr := f(ctx, p.host, p.window)
				mu.Lock()
				samples += n
				if sendErr != nil && err == nil {
					err = fmt.Errorf("send window %d of %s: %w", p.window, workload.HostName(p.host), sendErr)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for window := range b.windows { // hosts send at the same time
		for host := range b.hosts {
			select {
			case places <- place{host, window}:
			case <-ctx.Done():
			}
		}
	}
	close(places)
	workers.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return samples, err
}

// pushOwn sends everything as agents do: each defines what it refers to once.
func (b *bench) pushOwn(ctx context.Context, address string, took func(int)) (int, error) {
	conn, err := dial(address, grpc.UseCompressor(zstdgrpc.Name))
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // nothing is on its way
	client, native := pb.NewCollectionAgentClient(conn), b.work.Native()
	for host := range b.hosts {
		if err := define(ctx, client, native, host, took); err != nil {
			return 0, fmt.Errorf("define what %s sends: %w", workload.HostName(host), err)
		}
	}
	return b.each(ctx, func(ctx context.Context, host, window int) (int, error) {
		r, samples, _ := native.Counts(host, window, b.start(window))
		return samples, timed(took, func() error {
			answer, err := client.AddCountsForTraces(ctx, r)
			if err == nil && len(answer.UnknownStacks) > 0 {
				err = fmt.Errorf("%d stacks are not known", len(answer.UnknownStacks))
			}
			return err
		})
	})
}

// define sends the definitions of a host.
func define(ctx context.Context, client pb.CollectionAgentClient, native *workload.Native, host int, took func(int)) error {
	if err := timed(took, func() error { _, err := client.AddExecutableMetadata(ctx, native.Executables(host)); return err }); err != nil {
		return err
	}
	for _, r := range native.Frames(host) {
		if err := timed(took, func() error { _, err := client.SetFramesForTraces(ctx, r); return err }); err != nil {
			return err
		}
	}
	for _, r := range native.Names(host) {
		if err := timed(took, func() error { _, err := client.AddFrameMetadata(ctx, r); return err }); err != nil {
			return err
		}
	}
	return nil
}

// pushOTLP sends everything in OTLP over gRPC.
func (b *bench) pushOTLP(ctx context.Context, address string, took func(int)) (int, error) {
	return b.exportOTLP(ctx, address, false, took)
}

// pushOTLPTimes is pushOTLP with a time for each observation.
func (b *bench) pushOTLPTimes(ctx context.Context, address string, took func(int)) (int, error) {
	return b.exportOTLP(ctx, address, true, took)
}

func (b *bench) exportOTLP(ctx context.Context, address string, timestamps bool, took func(int)) (int, error) {
	conn, err := dial(address)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // nothing is on its way
	client := collector.NewProfilesServiceClient(conn)
	samples, err := b.each(ctx, func(ctx context.Context, host, window int) (int, error) {
		r, samples, _ := b.work.OTLP(host, window, b.start(window), timestamps)
		return samples, timed(took, func() error {
			answer, err := client.Export(ctx, r)
			if n := answer.GetPartialSuccess().GetRejectedProfiles(); err == nil && n > 0 {
				err = fmt.Errorf("%d profiles were rejected: %s", n, answer.GetPartialSuccess().GetErrorMessage())
			}
			return err
		})
	})
	if status.Code(errors.Unwrap(err)) == codes.Unimplemented {
		return 0, errNoOTLP
	}
	return samples, err
}
