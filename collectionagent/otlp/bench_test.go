// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// BenchmarkDecode decodes ten seconds of a host, as bytes and as messages.
func BenchmarkDecode(b *testing.B) {
	w := workload.New(workload.Default())
	for name, timestamps := range map[string]bool{"values": false, "timestamps": true} {
		r, samples, _ := w.OTLP(0, 0, int64(testNow), timestamps)
		data, err := proto.Marshal(r)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/wire", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var r collector.ExportProfilesServiceRequest
				if err := proto.Unmarshal(data, &r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			b.ReportMetric(float64(len(data))/float64(samples), "B/sample")
		})
		b.Run(name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				in, err := Decode(r, testOptions(len(data)))
				if err != nil || len(in.Batch.Samples) < samples {
					b.Fatal(err, len(in.Batch.Samples), samples)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
		})
	}
}
