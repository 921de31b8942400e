// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/strobe-profiler/strobe/libpf"
)

const (
	defaultEvents = 200
	maxEvents     = 10_000
)

type eventsAnswer struct {
	*summary
	Events []event `json:"events"`
	Hidden int64   `json:"hidden"`
}

type event struct {
	TimeMs  int64             `json:"time_ms"`
	Host    string            `json:"host"`
	HostID  string            `json:"host_id"`
	Kind    string            `json:"kind"`
	Title   string            `json:"title"`
	Value   int64             `json:"value"`
	Samples int64             `json:"samples"`
	Labels  map[string]string `json:"labels"`
	// Stack is the ID of the stack. HasStack says that there are frames to show for it.
	Stack    string `json:"stack"`
	HasStack bool   `json:"has_stack"`
}

func (s *server) events(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	selection.Type = libpf.SampleEvent
	limit := p.integer("limit", defaultEvents, 1, maxEvents)
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	found, err := s.engine.Events(ctx, selection, limit)
	if err != nil {
		return nil, err
	}
	a := eventsAnswer{summary: newSummary(&found.Summary), Events: make([]event, len(found.Rows)), Hidden: found.Hidden}
	room := newRoom(ctx)
	for i := range found.Rows {
		r := &found.Rows[i]
		labels, err := room.row(&r.Origin, r.Origin.Host, r.Kind(), r.Title())
		if err != nil {
			return nil, err
		}
		a.Events[i] = event{
			TimeMs: milliseconds(r.Time), Host: r.Origin.Host, HostID: r.Origin.HostID, Kind: r.Kind(), Title: r.Title(),
			Value: r.Value, Samples: r.Count, Labels: labels, Stack: r.Stack.String(), HasStack: r.HasStack,
		}
	}
	return jsonAnswer(a)
}
