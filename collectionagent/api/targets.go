// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/scrape"
)

// Targets is what is scraped.
type Targets interface {
	// Targets returns those of a project, those that need attention first.
	Targets(project string) []scrape.Target
	// Problems says what of the files is not in force, and what is left out.
	Problems() []string
}

type targetsAnswer struct {
	NowMs   int64    `json:"now_ms"`
	Targets []target `json:"targets"`
	Hidden  int      `json:"hidden"`
	// Problems are told to those who may know of all projects.
	Problems []string `json:"problems"`
}

type target struct {
	Job        string            `json:"job"`
	Instance   string            `json:"instance"`
	Profile    string            `json:"profile"`
	URL        string            `json:"url"`
	Labels     map[string]string `json:"labels"`
	State      string            `json:"state"`
	Error      string            `json:"error"`
	LastMs     int64             `json:"last_ms"`
	DurationMs int64             `json:"duration_ms"`
	NextMs     int64             `json:"next_ms"`
	IntervalMs int64             `json:"interval_ms"`
	Samples    int               `json:"samples"`
	Bytes      int64             `json:"bytes"`
}

// defaultTargets and maxTargets bound the list.
const (
	defaultTargets = 1000
	maxTargets     = 100_000
)

func (s *server) targets(_ context.Context, p *parameters) (*answer, error) {
	limit := p.integer("limit", defaultTargets, 0, maxTargets)
	if p.err != nil {
		return nil, p.err
	}
	a := targetsAnswer{NowMs: p.now.UnixMilli(), Targets: []target{}, Problems: []string{}}
	if s.config.Targets == nil {
		return jsonAnswer(a)
	}
	list, hidden := limited(s.config.Targets.Targets(p.who.Project), limit)
	a.Hidden = hidden
	for i := range list {
		t := &list[i]
		a.Targets = append(a.Targets, target{
			Job: t.Job, Instance: t.Instance, Profile: t.Profile, URL: t.URL, Labels: t.Labels, State: string(t.State), Error: t.Error,
			LastMs: millisecondsOf(t.Last), DurationMs: t.Duration.Milliseconds(), NextMs: millisecondsOf(t.Next),
			IntervalMs: t.Interval.Milliseconds(), Samples: t.Samples, Bytes: t.Bytes,
		})
	}
	if p.who.ServerWide() {
		a.Problems = append(a.Problems, s.config.Targets.Problems()...)
	}
	return jsonAnswer(a)
}
