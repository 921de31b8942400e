// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"io"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// sealer turns what is queued into compressed requests, and takes them as stored.
type sealer interface {
	seal(b *testing.B, rows []libpf.Sample) (raw, compressed int)
}

type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

// compressedSize compresses as gRPC does.
func compressedSize(b *testing.B, compressor string, payload []byte) int {
	b.Helper()
	var n countingWriter
	w, err := encoding.GetCompressor(compressor).Compress(&n)
	if err == nil {
		_, err = w.Write(payload)
	}
	if err == nil {
		err = w.(io.Closer).Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return int(n)
}

// ownSealer is the encoders of GRPCReporter.
type ownSealer struct{ r *GRPCReporter }

func newOwnSealer(b *testing.B) ownSealer {
	b.Helper()
	s, err := newSettings(&Config{CollAgentAddr: "localhost:1"}, &Options{HostID: "h"})
	if err != nil {
		b.Fatal(err)
	}
	r := &GRPCReporter{
		settings: s, seen: map[*libpf.Trace]struct{}{}, lanes: map[string]*lane{}, backlog: newBacklog(s.MaxQueueBytes / 4),
		pump: &pump{meters: newMeters(), wakeup: make(chan struct{}, 1)},
	}
	r.named.Store(1)
	r.limit.Store(maxRequestBytes)
	for _, kind := range []string{laneCounts, laneStacks, laneNames, laneSymbols, laneExecutables, laneHost, laneMetrics} {
		r.lanes[kind] = &lane{kind: kind}
	}
	if err := r.makeQueues(); err != nil {
		b.Fatal(err)
	}
	return ownSealer{r}
}

func (s ownSealer) seal(b *testing.B, rows []libpf.Sample) (raw, compressed int) {
	b.Helper()
	for i := range rows {
		s.r.ReportSample(&rows[i])
	}
	for s.r.fill(true) {
		for batch := s.r.backlog.first(); batch != nil; batch = s.r.backlog.first() {
			raw += len(batch.payload)
			compressed += compressedSize(b, zstdgrpc.Name, batch.payload)
			batch.cargo.acknowledge(batch.cargo.newResponse())
			s.r.backlog.remove(batch)
		}
	}
	return raw, compressed
}

// otlpSealer is the encoder of OTLPReporter.
type otlpSealer struct {
	queue      *sampleQueue
	encoder    *profileEncoder
	export     export
	compressor string
}

func newOTLPSealer(b *testing.B, compressor string) *otlpSealer {
	b.Helper()
	x := newTestExport(b)
	x.host = map[string]string{
		"host.id": "0123456789abcdef", "host.name": "node-7", "host.arch": "amd64", "host.cpu.count": "8", "host.memory.bytes": "33554432000",
		"host.cpu.model.name": "A CPU of some kind, 3.2 GHz", "os.type": "linux", "os.name": "Debian GNU/Linux", "os.version": "12",
	}
	return &otlpSealer{queue: newSampleQueue(1<<16, 1<<30, func() {}), encoder: &profileEncoder{}, export: *x, compressor: compressor}
}

func (s *otlpSealer) seal(b *testing.B, rows []libpf.Sample) (raw, compressed int) {
	b.Helper()
	for i := range rows {
		s.queue.add(&rows[i])
	}
	s.export.rows = sortRows(s.queue.lease(maxRows))
	s.export.sequence++
	payload, _ := s.encoder.encode(&s.export)
	s.queue.settle(uint64(len(rows)), "")
	s.queue.release(s.export.rows)
	return len(payload), compressedSize(b, s.compressor, payload)
}

// BenchmarkEncode reports what the same samples cost in both languages: bytes per
// sample, and CPU per 1,000 samples from report to compressed request. Samples are
// those of hosts of busy CPUs, flushed every 5 s; definitions are included, which
// OTLP brings with every flush and our own protocol once.
//
// A busy host has 30 services with 3,000 stacks, and new ones all the time, at 20 Hz. A
// steady one runs 8 programs with 160 stacks.
func BenchmarkEncode(b *testing.B) {
	for _, host := range []struct {
		name                       string
		cpus, hz, services, stacks int
		steady                     bool
	}{
		{"busy-2-cpus", 2, 20, 30, 3000, false},
		{"busy-8-cpus", 8, 20, 30, 3000, false},
		{"busy-64-cpus", 64, 20, 30, 3000, false},
		{"steady-2-cpus-20-Hz", 2, 20, 8, 160, true},
		{"steady-2-cpus-97-Hz", 2, 97, 8, 160, true},
	} {
		for _, protocol := range []string{"own", "otlp-gzip", "otlp-zstd"} {
			b.Run(host.name+"/"+protocol, func(b *testing.B) {
				var s sealer
				switch protocol {
				case "own":
					s = newOwnSealer(b)
				case "otlp-gzip":
					s = newOTLPSealer(b, gzip.Name)
				default:
					s = newOTLPSealer(b, zstdgrpc.Name)
				}
				w := newWorkload(host.cpus, host.services, host.stacks)
				if host.steady {
					w.novelty = 0
				}
				rows := make([]libpf.Sample, 5*host.cpus*host.hz)
				flush := func() (raw, compressed int, used int64) {
					for i := range rows {
						rows[i] = w.sample()
					}
					before := cpuTime(b)
					raw, compressed = s.seal(b, rows)
					return raw, compressed, cpuTime(b) - before
				}
				for range max(4, 20_000/len(rows)) { // until the definitions are known
					flush()
				}
				var raw, compressed int
				var used int64
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					r, c, u := flush()
					raw, compressed, used = raw+r, compressed+c, used+u
				}
				n := float64(b.N * len(rows))
				b.ReportMetric(float64(raw)/n, "rawB/sample")
				b.ReportMetric(float64(compressed)/n, "wireB/sample")
				b.ReportMetric(float64(used)/1e6/n*1000, "cpu-ms/1000")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
