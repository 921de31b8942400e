// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/strobe-profiler/strobe/internal/sampling/samplingtest"
	"github.com/strobe-profiler/strobe/libpf"
)

// seen is a sample as the next component sees it.
type seen struct {
	Type, Unit, PeriodType string
	Values                 []int64
	Times                  []uint64
	Attributes             map[string]any
	Frames                 []string
	TraceID, SpanID        string
}

func attributes(t *testing.T, dict pprofile.ProfilesDictionary, indices pcommon.Int32Slice) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, i := range indices.All() {
		a := dict.AttributeTable().At(int(i))
		out[dict.StringTable().At(int(a.KeyStrindex()))] = a.Value().AsRaw()
	}
	return out
}

func see(t *testing.T, dict pprofile.ProfilesDictionary, p pprofile.Profile, s pprofile.Sample) seen {
	t.Helper()
	text := func(i int32) string { return dict.StringTable().At(int(i)) }
	link := dict.LinkTable().At(int(s.LinkIndex()))
	out := seen{
		Type: text(p.SampleType().TypeStrindex()), Unit: text(p.SampleType().UnitStrindex()), PeriodType: text(p.PeriodType().TypeStrindex()),
		Values: s.Values().AsRaw(), Times: s.TimestampsUnixNano().AsRaw(), Attributes: attributes(t, dict, s.AttributeIndices()),
		TraceID: link.TraceID().String(), SpanID: link.SpanID().String(),
	}
	for _, i := range dict.StackTable().At(int(s.StackIndex())).LocationIndices().All() {
		for _, line := range dict.LocationTable().At(int(i)).Lines().All() {
			out.Frames = append(out.Frames, text(dict.FunctionTable().At(int(line.FunctionIndex())).NameStrindex()))
		}
	}
	return out
}

// TestSamplesPassUnchanged looks at everything that a sample can say of itself.
func TestSamplesPassUnchanged(t *testing.T) {
	t.Parallel()
	process := &libpf.Process{
		PID: 42, Name: "app", Executable: "/srv/app", CommandLine: "/srv/app -x", ContainerID: "c0ffee", ContainerName: "web",
		PodName: "web-1", Namespace: "shop", Service: "checkout", Labels: []libpf.Label{{Key: "env", Value: "prod"}},
	}
	on := samplingtest.Sample(42, "worker", "leaf", "root")
	on.Process, on.TID, on.CPU = process, 43, 3
	on.Labels = []libpf.Label{{Key: "tenant", Value: "blue"}}
	on.TraceID, on.SpanID = [16]byte{1, 2}, [8]byte{3, 4}
	off := samplingtest.Sample(42, "worker", "wait", "root")
	off.Process, off.Type, off.Value, off.TID = process, libpf.SampleOffCPU, 123_456, 43

	synctest.Test(t, func(t *testing.T) {
		sink := &consumertest.ProfilesSink{}
		o := fakeOptions(&samplingtest.Fake{Samples: []*libpf.Sample{on, off}})
		r := newReceiver(t, o, sink)
		r.cfg.Tags = map[string]string{"rack": "a1"}
		start(t, r, componenttest.NewNopHost())
		time.Sleep(10 * time.Second)
		shutdown(t, r, 0, "", nil)

		if len(sink.AllProfiles()) != 1 {
			t.Fatalf("%d batches", len(sink.AllProfiles()))
		}
		data := sink.AllProfiles()[0]
		if n := data.ResourceProfiles().Len(); n != 1 {
			t.Fatalf("%d resources", n)
		}
		resource := data.ResourceProfiles().At(0)
		got := resource.Resource().Attributes().AsRaw()
		want := map[string]any{
			"service.name": "checkout", "host.name": "host", "host.id": "host-id", "host.tag.rack": "a1", "env": "prod",
			"process.pid": int64(42), "process.executable.path": "/srv/app", "process.executable.name": "app", "process.command_line": "/srv/app -x",
			"container.id": "c0ffee", "k8s.container.name": "web", "k8s.pod.name": "web-1", "k8s.namespace.name": "shop",
		}
		for key, value := range want {
			if diff := cmp.Diff(value, got[key]); diff != "" {
				t.Errorf("resource attribute %s (-want +got):\n%s", key, diff)
			}
		}
		var samples []seen
		for _, p := range resource.ScopeProfiles().At(0).Profiles().All() {
			for _, s := range p.Samples().All() {
				samples = append(samples, see(t, data.Dictionary(), p, s))
			}
		}
		when := []uint64{uint64(on.Time)} //nolint:gosec // after 1970
		thread := map[string]any{"thread.name": "worker", "thread.id": int64(43), "cpu.logical_number": int64(0)}
		wantSamples := []seen{{
			Type: "samples", Unit: "count", PeriodType: "cpu", Times: when,
			Attributes: map[string]any{
				"thread.name": "worker", "thread.id": int64(43), "cpu.logical_number": int64(3), "process.context.label.tenant": "blue",
			},
			Frames: []string{"leaf", "root"}, TraceID: "01020000000000000000000000000000", SpanID: "0304000000000000",
		}, {
			Type: "off_cpu", Unit: "nanoseconds", Values: []int64{123_456}, Times: when, Attributes: thread, Frames: []string{"wait", "root"},
		}}
		if diff := cmp.Diff(wantSamples, samples); diff != "" {
			t.Errorf("samples (-want +got):\n%s", diff)
		}
	})
}

// TestWithProcess lets an embedder say more of a process.
func TestWithProcess(t *testing.T) {
	t.Parallel()
	known := &libpf.Process{PID: 1, Service: "app", Labels: []libpf.Label{{Key: "b", Value: "1"}}}
	r := &profiler{options: options{process: func(p *libpf.Process) {
		p.Service = "mine"
		p.Labels = append(p.Labels, libpf.Label{Key: "a", Value: "2"})
	}}}
	got := r.identify(func(libpf.PID, string) *libpf.Process { return known })(1, "app")
	want := &libpf.Process{PID: 1, Service: "mine", Labels: []libpf.Label{{Key: "a", Value: "2"}, {Key: "b", Value: "1"}}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(libpf.FileID{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if known.Service != "app" || len(known.Labels) != 1 {
		t.Errorf("what others hold was changed to %+v", known)
	}
}
