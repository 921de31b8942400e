// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// BenchmarkDecode reads ten seconds of a host, decodes them, and looks for what is to be defined.
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
				m, err := Read(data, testOptions(len(data)))
				if err != nil {
					b.Fatal(err)
				}
				m.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			b.ReportMetric(float64(len(data))/float64(samples), "B/sample")
		})
		b.Run(name+"/json", func(b *testing.B) {
			data := toJSON(b, r, protojson.MarshalOptions{})
			b.ReportAllocs()
			for b.Loop() {
				m, err := ReadJSON(data, testOptions(len(data)))
				if err != nil {
					b.Fatal(err)
				}
				m.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			b.ReportMetric(float64(len(data))/float64(samples), "B/sample")
		})
		for how, known := range map[string]Known{"new": nil, "known": everything{}} {
			b.Run(name+"/decode/"+how, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m, err := Read(data, testOptions(len(data)))
					if err != nil {
						b.Fatal(err)
					}
					in, err := m.Decode(known)
					if err != nil || len(in.Batch.Samples) < samples {
						b.Fatal(err, len(in.Batch.Samples), samples)
					}
					m.Release()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			})
		}
		b.Run(name+"/define/known", func(b *testing.B) {
			m, err := Read(data, testOptions(len(data)))
			if err != nil {
				b.Fatal(err)
			}
			defer m.Release()
			in, err := m.Decode(everything{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := in.Definitions(everything{}, func(*store.Definitions) error { return errors.New("something is not known") }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
		})
	}
}

// everything is known.
type everything struct{}

func (everything) Whole(uint64, uint64) (libpf.TraceHash, bool) { return libpf.TraceHash{}, true }

func (everything) Stack(libpf.TraceHash) bool     { return true }
func (everything) Symbol(uint64, uint64) bool     { return true }
func (everything) Executable(uint64, uint64) bool { return true }
