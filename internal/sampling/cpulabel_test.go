// SPDX-License-Identifier: Apache-2.0

package sampling

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

type kept struct{ samples []*libpf.Sample }

func (k *kept) ReportSample(s *libpf.Sample)     { k.samples = append(k.samples, s) }
func (*kept) ReportExecutable(*libpf.Executable) {}

func TestLabelCPUs(t *testing.T) {
	t.Parallel()
	cpu := func(n string) libpf.Label { return libpf.Label{Key: "cpu", Value: n} }
	before, after := libpf.Label{Key: "a", Value: "1"}, libpf.Label{Key: "tenant", Value: "2"}
	for name, test := range map[string]struct {
		cpu       uint32
		has, want []libpf.Label
	}{
		"the first CPU":         {0, nil, []libpf.Label{cpu("0")}},
		"another":               {17, nil, []libpf.Label{cpu("17")}},
		"between others":        {3, []libpf.Label{before, after}, []libpf.Label{before, cpu("3"), after}},
		"behind others":         {3, []libpf.Label{before}, []libpf.Label{before, cpu("3")}},
		"before others":         {3, []libpf.Label{after}, []libpf.Label{cpu("3"), after}},
		"set by the program":    {3, []libpf.Label{before, cpu("x"), after}, []libpf.Label{before, cpu("3"), after}},
		"nothing but that":      {0, []libpf.Label{cpu("x")}, []libpf.Label{cpu("0")}},
		"key that begins alike": {0, []libpf.Label{{Key: "cpus", Value: "9"}}, []libpf.Label{cpu("0"), {Key: "cpus", Value: "9"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &kept{}
			sink := LabelCPUs(k)
			sample := &libpf.Sample{CPU: test.cpu, TID: 5, Labels: test.has}
			was := append([]libpf.Label(nil), test.has...)
			sink.ReportSample(sample)
			sink.ReportSample(sample)
			if d := cmp.Diff(was, sample.Labels); d != "" {
				t.Errorf("the tracer's sample was changed: %s", d)
			}
			for _, got := range k.samples {
				if d := cmp.Diff(test.want, got.Labels); d != "" || got.TID != 5 || got == sample {
					t.Errorf("labels (-want +got):\n%s", d)
				}
			}
		})
	}
}
