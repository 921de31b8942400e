// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// replay says where to send the workload instead of to a collection agent.
type replay struct {
	target, address, dir string
	pid                  int
	timestamps           bool
}

// replay sends the workload to another server and prints what it took.
func (b *bench) replay(ctx context.Context, r *replay) error {
	if r.address == "" {
		return errors.New("-target needs -addr")
	}
	if err := b.prepare(); err != nil {
		return err
	}
	var before int64
	var err error
	if r.dir != "" {
		if before, err = size(r.dir); err != nil {
			return err
		}
	}
	p, err := b.push(ctx, r.pid, func(ctx context.Context, took func(int)) (int, error) {
		switch r.target {
		case "otlp":
			return b.exportOTLP(ctx, r.address, r.timestamps, took)
		case "pyroscope":
			return b.each(ctx, func(ctx context.Context, host, window int) (int, error) {
				return b.pushPprof(ctx, r, host, window, took)
			})
		case "pyroscope-otlp":
			return b.each(ctx, func(ctx context.Context, host, window int) (int, error) {
				request, samples, _ := b.work.OTLP(host, window, b.start(window), r.timestamps)
				body, err := proto.Marshal(request)
				if err != nil {
					return 0, err
				}
				return samples, timed(took, func() error {
					return post(ctx, "http://"+r.address+"/v1development/profiles", "application/x-protobuf", body)
				})
			})
		default:
			return 0, fmt.Errorf("-target %s: must be otlp, pyroscope or pyroscope-otlp", r.target)
		}
	})
	if err != nil {
		return err
	}
	million := float64(p.samples) / 1e6
	_, _ = fmt.Fprintf(b.out, "samples %d, wall %.1f s, request p50 %v p95 %v\n", p.samples, p.wall.Seconds(), p.p50, p.p95)
	if r.pid != 0 {
		_, _ = fmt.Fprintf(b.out, "CPU %.2f s for a million samples, resident at most %.0f MB\n", p.cpu.Seconds()/million, float64(p.peak)/1e6)
	}
	if r.dir != "" {
		after, err := size(r.dir)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(b.out, "%.1f bytes per sample\n", float64(after-before)/float64(p.samples))
	}
	return nil
}

// pushPprof sends a window as one profile for each service, as Pyroscope takes it.
func (b *bench) pushPprof(ctx context.Context, r *replay, host, window int, took func(int)) (samples int, err error) {
	for s, service := range b.work.Services {
		window := b.windowOf(host, window, s)
		profile, err := b.work.Pprof(window.samples, s, window.start)
		if err != nil {
			return 0, err
		}
		var series []byte
		for _, l := range [][2]string{
			{"__name__", "process_cpu"}, {"service_name", service}, {"host", workload.HostName(host)}, {"namespace", "shop"},
		} {
			series = appendMessage(series, 1, protowire.AppendString(protowire.AppendTag(
				protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), l[0]), 2, protowire.BytesType), l[1]))
		}
		series = appendMessage(series, 2, appendMessage(nil, 1, profile))
		body := appendMessage(nil, 1, series)
		if err := timed(took, func() error {
			return post(ctx, "http://"+r.address+"/push.v1.PusherService/Push", "application/proto", body)
		}); err != nil {
			return 0, err
		}
		samples += len(window.samples)
	}
	return samples, nil
}

// serviceWindow is a window of one service.
type serviceWindow struct {
	samples []workload.Sample
	start   int64
}

func (b *bench) windowOf(host, window, service int) serviceWindow {
	return serviceWindow{b.work.Window(host, window, service), b.start(window)}
}

// appendMessage appends a field that holds a message.
func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), message)
}

// post sends a request that must be answered with success.
func post(ctx context.Context, url, contentType string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(answer.Body, 300))
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}
