// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"io"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/export"
)

// WriteFolded writes the stacks of a selection as folded lines, as [export.WriteFolded]
// does. The values of the labels in groupBy are the first levels.
func (e *Engine) WriteFolded(ctx context.Context, s *Selection, groupBy []string, w io.Writer) (*Summary, error) {
	sums, err := e.sortedSums(ctx, s, groupBy)
	if err != nil {
		return nil, err
	}
	out := export.NewFolded(s.Type, sums.executables())
	root := make([]string, len(groupBy))
	err = sums.each(ctx, func(group []string, sample *export.Sample) {
		for i, value := range group {
			root[i] = LabelText(groupBy[i], value)
		}
		sample.Root = root
		out.Add(sample)
	})
	if err != nil {
		return nil, err
	}
	summary := sums.summary(s, sums.levels(newFunctionTable(len(sums.names)), false, nil))
	return &summary, out.Write(&watchedWriter{ctx, w})
}

// WritePprof writes the stacks of a selection as a gzipped profile.proto. The
// values of the labels in groupBy become labels of the samples.
func (e *Engine) WritePprof(ctx context.Context, s *Selection, groupBy []string, w io.Writer) (*Summary, error) {
	sums, err := e.sortedSums(ctx, s, groupBy)
	if err != nil {
		return nil, err
	}
	out := export.NewPprof(&export.Profile{
		Type: s.Type, From: s.From, To: s.To, Period: sums.period, Executables: sums.executables(),
	})
	labels := make([]libpf.Label, 0, len(groupBy))
	err = sums.each(ctx, func(group []string, sample *export.Sample) {
		labels = labels[:0]
		for i, value := range group {
			if value != "" {
				labels = append(labels, libpf.Label{Key: groupBy[i], Value: value})
			}
		}
		sample.Labels = labels
		out.Add(sample)
	})
	if err != nil {
		return nil, err
	}
	summary := sums.summary(s, sums.levels(newFunctionTable(len(sums.names)), false, nil))
	return &summary, out.Write(&watchedWriter{ctx, w})
}

// each hands over one sample after the other. A sample is only valid during the call.
func (s *sums) each(ctx context.Context, yield func(group []string, sample *export.Sample)) error {
	var sample export.Sample
	for i, r := range s.rows {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		sample.Frames = sample.Frames[:0]
		for _, frame := range s.stacks[r.stack] {
			f := s.entries[frame].frame
			f.Lines = s.names[frame].lines
			sample.Frames = append(sample.Frames, f)
		}
		sample.Count, sample.Value = r.count, r.value
		yield(s.groups[r.group], &sample)
	}
	return ctx.Err()
}

// executables returns the look-up of the executables of the stacks.
func (s *sums) executables() func(libpf.FileID) (libpf.Executable, bool) {
	known := make(map[libpf.FileID]libpf.Executable)
	for _, n := range s.names {
		if id := n.executable.FileID; !id.IsZero() {
			known[id] = n.executable
		}
	}
	return func(id libpf.FileID) (libpf.Executable, bool) {
		e, ok := known[id]
		return e, ok
	}
}
