// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// retentionStatus says how long data stay, 0 for ever.
type retentionStatus struct {
	agesStatus
	Rules []retentionRule `json:"rules"`
}

type agesStatus struct {
	SamplesMs int64 `json:"samples_ms"`
	MinutesMs int64 `json:"minutes_ms"`
	HoursMs   int64 `json:"hours_ms"`
}

// retentionRule is about a project, a type, or both; "" is every one.
type retentionRule struct {
	Project string `json:"project"`
	Type    string `json:"type"`
	agesStatus
}

// newRetentionStatus returns what is in force for a project; for those who may know of
// all projects, all of it.
func newRetentionStatus(r *store.Retention, who *auth.Principal) *retentionStatus {
	if r == nil {
		return nil
	}
	out := &retentionStatus{agesStatus: newAges(r.Ages), Rules: []retentionRule{}}
	for i := range r.Rules {
		rule := &r.Rules[i]
		if rule.Project != "" && rule.Project != who.Project && !who.ServerWide() {
			continue
		}
		ages := rule.Ages
		for age, general := range map[*time.Duration]time.Duration{&ages.Samples: r.Samples, &ages.Minutes: r.Minutes, &ages.Hours: r.Hours} {
			if *age == 0 {
				*age = general
			}
		}
		line := retentionRule{Project: rule.Project, agesStatus: newAges(ages)}
		if rule.Type != 0 {
			line.Type = rule.Type.String()
		}
		out.Rules = append(out.Rules, line)
	}
	return out
}

func newAges(a store.Ages) agesStatus {
	ms := func(d time.Duration) int64 {
		if d == math.MaxInt64 { // how a rule says for ever
			return 0
		}
		return d.Milliseconds()
	}
	return agesStatus{ms(a.Samples), ms(a.Minutes), ms(a.Hours)}
}

// ingestStatus is what became of the samples of a project, by weight.
type ingestStatus struct {
	serverReceipts
	LastMinute *minuteStatus `json:"last_minute,omitempty"`
}

// minuteStatus is about the last minute.
type minuteStatus struct {
	Received  uint64 `json:"received"`
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Refused   uint64 `json:"refused"`
}

// recent are receipts that know when things came.
type recent interface {
	LastMinute(project string) fleet.Minute
}

// newIngestStatus returns what was received of a project, nil when nobody counts.
func newIngestStatus(r Receipts, project string) *ingestStatus {
	if r == nil {
		return nil
	}
	out := &ingestStatus{serverReceipts: serverReceipts(r.Receipts(project))}
	if l, ok := r.(recent); ok {
		m := l.LastMinute(project)
		out.LastMinute = &minuteStatus{m.Received, m.Stored, m.Duplicate, m.Received - m.Stored - m.Duplicate}
	}
	return out
}

// memoryStatus is a part of the memory, in bytes; without a bound LimitBytes is 0.
type memoryStatus struct {
	UsedBytes  int64 `json:"used_bytes"`
	LimitBytes int64 `json:"limit_bytes"`
}

// memoryStatus returns what is taken of the memory for requests that come in, and for
// questions.
func (s *server) memoryStatus() map[string]memoryStatus {
	out := map[string]memoryStatus{"queries": {s.config.Memory.Used(), s.config.Memory.Size()}}
	if r, ok := s.config.Receipts.(interface{ Memory() (used, limit int64) }); ok {
		used, limit := r.Memory()
		out["ingest"] = memoryStatus{used, limit}
	}
	return out
}

// queriesStatus is how many questions are worked on, how many at most, and how many wait.
type queriesStatus struct {
	Running int `json:"running"`
	Limit   int `json:"limit"`
	Waiting int `json:"waiting"`
}

// status returns how many have their turn; who asks is one of them.
func (t *turns) status() *queriesStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &queriesStatus{t.running, t.all, t.queue.Len()}
}
