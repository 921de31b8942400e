// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newForgotten() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strobe_collectionagent_agents_forgotten_total",
		Help: "Hosts whose reports were forgotten, by reason: silent for too long, too many hosts, too many of one project (project_hosts), bytes.",
	}, []string{"reason"})
}

// states are those that agents are known to report. Any other is counted as
// "other": what agents say must not make up series without end.
var states = []string{"starting", "connected", "disconnected", "overloaded", "refused", "stopped"}

const otherState = "other"

// silences are how long agents may be silent before the gauges say so.
var silences = []struct {
	label string
	after time.Duration
}{{"1m", time.Minute}, {"5m", 5 * time.Minute}}

var (
	agentsDesc = prometheus.NewDesc("strobe_collectionagent_agents",
		"Agents that report, by the state of delivery in their last report.", []string{"state"}, nil)
	silentDesc = prometheus.NewDesc("strobe_collectionagent_agents_silent",
		"Agents that reported before, and not for as long as the label says.", []string{"for"}, nil)
	unequalDesc = prometheus.NewDesc("strobe_collectionagent_agents_inconsistent",
		"Agents whose last report does not add up: captured is not stored + queued + spooled + dropped.", nil, nil)
	samplesDesc = prometheus.NewDesc("strobe_collectionagent_agent_samples",
		"Samples by the last reports of all agents, since their starts: captured = stored + queued + spooled + dropped; recovered is a part of captured.",
		[]string{"outcome"}, nil)
)

// gauges sums the reports when they are asked for. There are none per host, of
// which there may be many.
type gauges struct{ r *Registry }

// Describe implements [prometheus.Collector].
func (gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{agentsDesc, silentDesc, unequalDesc, samplesDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (g gauges) Collect(out chan<- prometheus.Metric) {
	count := map[string]int{}
	silent := make([]int, len(silences))
	unequal := 0
	var sum Ledger
	var dropped uint64
	now := g.r.options.Now()
	g.r.mu.Lock()
	for _, p := range g.r.projects {
		for e := p.agents.Front(); e != nil; e = e.Next() {
			a := e.Value.(*Agent)
			state := a.State
			if !slices.Contains(states, state) {
				state = otherState
			}
			count[state]++
			for i, s := range silences {
				if now.Sub(a.Received) >= s.after {
					silent[i]++
				}
			}
			if !a.Ledger.AddsUp() {
				unequal++
			}
			dropped += a.Ledger.DroppedSum()
			l := a.Ledger
			l.Dropped = nil // summed above; the reasons are the agents' words
			sum.Add(&l)
		}
	}
	g.r.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...) // as many labels as the description has
	}
	for _, state := range append(slices.Clone(states), otherState) {
		gauge(agentsDesc, float64(count[state]), state)
	}
	for i, s := range silences {
		gauge(silentDesc, float64(silent[i]), s.label)
	}
	gauge(unequalDesc, float64(unequal))
	for outcome, n := range map[string]uint64{
		"captured": sum.Captured, "recovered": sum.Recovered, "stored": sum.Stored, "queued": sum.Queued,
		"spooled": sum.Spooled, "dropped": dropped,
	} {
		gauge(samplesDesc, float64(n), outcome)
	}
}
