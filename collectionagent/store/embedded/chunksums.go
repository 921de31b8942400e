// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// chunkSums say where in a full chunk of the head the rows of each series are, with
// their sums. Questions that are about few series read only the rows of these, and
// questions that are not about stacks read the sums in place of the rows.
type chunkSums struct {
	// series are runs of rows, in order. Where these would be too many they are the sums
	// of each series; nil: these are too many, too.
	series           []chunkSum
	runs             bool
	minTime, maxTime int64 // ms
}

// chunkSum is the sum of rows of a series in a chunk. Those of a run follow one
// another, and lie in the same second.
type chunkSum struct {
	series           uint32
	first, end       uint32 // rows of a run
	minTime, maxTime int64  // ms
	count, value     int64
}

// add adds a row.
func (s *chunkSum) add(c *chunk, row int) {
	t := c.times[row]
	s.minTime, s.maxTime = min(s.minTime, t), max(s.maxTime, t)
	s.count += c.counts[row]
	s.value += c.values[row]
}

// maxChunkSeries bounds the memory of the sums to a tenth of the chunk's. With more
// series they would save little work.
const maxChunkSeries = 512

// runWidth is the time in ms, aligned, that a run lies in: questions ask for steps of
// whole seconds.
const runWidth = 1000

// summed returns the sums of a chunk that is full. The first who asks makes them.
func (c *chunk) summed() *chunkSums {
	if s := c.sums.Load(); s != nil {
		return s
	}
	s := &chunkSums{minTime: c.times[0], maxTime: c.times[0]}
	for _, t := range c.times {
		s.minTime, s.maxTime = min(s.minTime, t), max(s.maxTime, t)
	}
	if s.series = c.sumRuns(); s.series != nil {
		s.runs = true
	} else {
		s.series = c.sumSeries()
	}
	c.sums.Store(s)
	return s
}

// sumRuns returns the sums of runs, nil when they are too many.
func (c *chunk) sumRuns() []chunkSum {
	var sums []chunkSum
	var second int64 // the run's, in ms
	var run *chunkSum
	for i := range chunkRows {
		t, series := c.times[i], c.series[i]
		if run == nil || series != run.series || t < second || t >= second+runWidth {
			if len(sums) == maxChunkSeries {
				return nil
			}
			sums = append(sums, chunkSum{series: series, first: uint32(i), minTime: t, maxTime: t})
			run, second = &sums[len(sums)-1], floorTo(t, runWidth)
		}
		run.add(c, i)
		run.end = uint32(i + 1)
	}
	return sums
}

// sumSeries returns the sums of series, nil when they are too many.
func (c *chunk) sumSeries() []chunkSum {
	var sums []chunkSum
	places := make(map[uint32]int)
	last, at := uint32(0), -1 // rows of a series mostly follow one another
	for i := range chunkRows {
		series := c.series[i]
		if at < 0 || series != last {
			place, ok := places[series]
			if !ok {
				if place = len(places); place == maxChunkSeries {
					return nil
				}
				places[series] = place
				sums = append(sums, chunkSum{series: series, minTime: c.times[i], maxTime: c.times[i]})
			}
			last, at = series, place
		}
		sums[at].add(c, i)
	}
	return sums
}

// place says how the rows of a sum lie to a query.
func (sc *scanner) place(x *chunkSum, group []uint32, from []int64) (asked, whole, oneBucket bool) {
	if group[x.series] == none || x.maxTime < from[x.series] || x.minTime >= sc.to {
		return false, false, false
	}
	whole = x.minTime >= from[x.series] && x.maxTime < sc.to
	oneBucket = whole && (sc.q.Step == 0 ||
		store.Bucket(nanoseconds(x.minTime), sc.q.Step) == store.Bucket(nanoseconds(x.maxTime), sc.q.Step))
	return true, whole, oneBucket
}

// fromSums adds a chunk by the sums of its series, if these tell what is asked for.
func (sc *scanner) fromSums(s *chunkSums, group []uint32, from []int64, a *aggregator) bool {
	if s.series == nil || sc.q.ByStack {
		return false
	}
	for i := range s.series {
		if asked, _, oneBucket := sc.place(&s.series[i], group, from); asked && !oneBucket {
			return false
		}
	}
	for i := range s.series {
		x := &s.series[i]
		if asked, _, _ := sc.place(x, group, from); asked {
			a.add(group[x.series], x.minTime, 0, x.count, x.value)
		}
	}
	return true
}

// fromRuns adds a chunk run by run.
func (sc *scanner) fromRuns(v *headView, c *chunk, s *chunkSums, group []uint32, from []int64, stacks []uint32, a *aggregator) {
	for i := range s.series {
		x := &s.series[i]
		asked, whole, oneBucket := sc.place(x, group, from)
		switch {
		case !asked:
			continue
		case oneBucket && !sc.q.ByStack:
			a.add(group[x.series], x.minTime, 0, x.count, x.value)
			continue
		case whole && sc.q.Step == 0:
			if a.addRun(group[x.series], v.stacks, c, x, stacks) {
				continue
			}
		}
		for at := int(x.first); at < int(x.end); at++ {
			sc.headRow(v, c, at, group, from, stacks, a)
		}
		if a.err != nil {
			return
		}
	}
}

// addRun adds all rows of a run to the sums by stack of a group, if that has an array
// of them. numbers are the aggregator's numbers of the stacks of the head.
func (a *aggregator) addRun(group uint32, list []libpf.TraceHash, c *chunk, x *chunkSum, numbers []uint32) bool {
	g := a.dense(group)
	if g == nil {
		return false
	}
	sums := g.dense
	stacks := c.stacks[x.first:x.end]
	counts, values := c.counts[x.first:x.end], c.values[x.first:x.end]
	counts, values = counts[:len(stacks)], values[:len(stacks)]
	for i, local := range stacks {
		n := numbers[local]
		if int(n) >= len(sums) { // none is larger than any
			if n == none {
				n = a.stack(list[local])
				numbers[local] = n
			}
			sums = a.dense(group).dense
		}
		s := &sums[n]
		s.count += counts[i]
		s.value += values[i]
	}
	return true
}
