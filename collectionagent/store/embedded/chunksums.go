// SPDX-License-Identifier: Apache-2.0

package embedded

import "github.com/strobe-profiler/strobe/collectionagent/store"

// chunkSums are the sums of a full chunk of the head by series. Questions that are
// not about stacks read them in place of the rows.
type chunkSums struct {
	series           []chunkSum // nil: too many
	minTime, maxTime int64      // ms
}

// chunkSum is the sum of a series in a chunk.
type chunkSum struct {
	series           uint32
	minTime, maxTime int64 // ms
	count, value     int64
}

// maxChunkSeries bounds the memory of the sums to a tenth of the chunk's. With more
// series they would save little work.
const maxChunkSeries = 512

// summed returns the sums of a chunk that is full. The first who asks makes them.
func (c *chunk) summed() *chunkSums {
	if s := c.sums.Load(); s != nil {
		return s
	}
	s := &chunkSums{minTime: c.times[0], maxTime: c.times[0]}
	places := make(map[uint32]int)
	last, at := uint32(0), -1 // rows of a series mostly follow one another
	for i := range chunkRows {
		t, series := c.times[i], c.series[i]
		s.minTime, s.maxTime = min(s.minTime, t), max(s.maxTime, t)
		if at < 0 || series != last {
			place, ok := places[series]
			if !ok {
				place = len(places)
				places[series] = place
				s.series = append(s.series, chunkSum{series: series, minTime: t, maxTime: t})
			}
			last, at = series, place
		}
		sum := &s.series[at]
		sum.minTime, sum.maxTime = min(sum.minTime, t), max(sum.maxTime, t)
		sum.count += c.counts[i]
		sum.value += c.values[i]
	}
	if len(s.series) > maxChunkSeries {
		s.series = nil
	}
	c.sums.Store(s)
	return s
}

// fromSums adds a chunk by its sums, if these tell what is asked for.
func (sc *scanner) fromSums(s *chunkSums, group []uint32, from []int64, a *aggregator) bool {
	if s.series == nil || sc.q.ByStack {
		return false
	}
	for i := range s.series {
		x := &s.series[i]
		if group[x.series] == none || x.maxTime < from[x.series] || x.minTime >= sc.to {
			continue
		}
		if x.minTime < from[x.series] || x.maxTime >= sc.to || (sc.q.Step > 0 &&
			store.Bucket(nanoseconds(x.minTime), sc.q.Step) != store.Bucket(nanoseconds(x.maxTime), sc.q.Step)) {
			return false
		}
	}
	for i := range s.series {
		x := &s.series[i]
		if group[x.series] != none && x.minTime >= from[x.series] && x.maxTime < sc.to {
			a.add(group[x.series], x.minTime, 0, x.count, x.value)
		}
	}
	return true
}
