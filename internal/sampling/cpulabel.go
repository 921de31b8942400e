// SPDX-License-Identifier: Apache-2.0

package sampling

import (
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// cpuLabel is the label of the CPU that a sample was taken on.
const cpuLabel = "cpu"

// LabelCPUs returns a sink that hands on to another what it is given, with the number
// of the CPU as the label "cpu" of each sample, "0" for the first. It takes the place of a
// label of that name that the program has set.
func LabelCPUs(to Sink) Sink { return &cpuLabeller{Sink: to} }

// cpuLabeller is called from one goroutine, as every sink.
type cpuLabeller struct {
	Sink
	// alone are the labels of samples that have no others, by CPU.
	alone map[uint32][]libpf.Label
}

// ReportSample implements [Sink]. The sample belongs to the tracer, so a copy is changed.
func (c *cpuLabeller) ReportSample(s *libpf.Sample) {
	labelled := *s
	alone, ok := c.alone[s.CPU]
	if !ok {
		if c.alone == nil {
			c.alone = map[uint32][]libpf.Label{}
		}
		alone = []libpf.Label{{Key: cpuLabel, Value: strconv.FormatUint(uint64(s.CPU), 10)}}
		c.alone[s.CPU] = alone
	}
	labelled.Labels = alone
	if len(s.Labels) > 0 {
		at, has := slices.BinarySearchFunc(s.Labels, cpuLabel, func(l libpf.Label, key string) int { return strings.Compare(l.Key, key) })
		labels := make([]libpf.Label, 0, len(s.Labels)+1)
		labels = append(append(labels, s.Labels[:at]...), alone...)
		if has {
			at++
		}
		labelled.Labels = append(labels, s.Labels[at:]...)
	}
	c.Sink.ReportSample(&labelled)
}
