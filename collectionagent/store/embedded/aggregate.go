// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"strings"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// groups gives the groups of a query dense numbers. It is safe for concurrent use.
type groups struct {
	mu     sync.Mutex
	byKey  map[string]uint32
	values [][]string
	buf    []string
}

// id returns the number of the group of a series.
func (g *groups) id(s *store.Series, groupOf func([]string, *store.Series) []string) uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = groupOf(g.buf[:0], s)
	key := strings.Join(g.buf, "\x00")
	id, ok := g.byKey[key]
	if !ok {
		id = uint32(len(g.values)) //nolint:gosec // there are fewer series
		g.byKey[key] = id
		g.values = append(g.values, append([]string(nil), g.buf...))
	}
	return id
}

// sum is what an answer counts.
type sum struct{ count, value int64 }

// cell is the place of a sum within its group.
type cell struct {
	bucket libpf.UnixTimeNs
	stack  uint32
}

// maxDenseGroups is up to how many groups keep an array with an entry for every
// stack; beyond, most entries would stay empty.
const maxDenseGroups = 16

// groupSums are the sums of one group: in the array as long as there are no
// buckets and few groups, else in the map.
type groupSums struct {
	dense  []sum // by number of the stack
	sparse map[cell]sum
}

// aggregator sums up what one goroutine reads.
type aggregator struct {
	byStack bool
	step    time.Duration
	stackID map[libpf.TraceHash]uint32
	stacks  []libpf.TraceHash
	groups  []groupSums
}

func newAggregator(q *store.Query) *aggregator {
	a := &aggregator{byStack: q.ByStack, step: q.Step, stackID: make(map[libpf.TraceHash]uint32)}
	if !q.ByStack {
		a.stacks = []libpf.TraceHash{{}} // every row has stack 0
	}
	return a
}

// stack returns the number of a stack.
func (a *aggregator) stack(h libpf.TraceHash) uint32 {
	id, ok := a.stackID[h]
	if !ok {
		id = uint32(len(a.stacks)) //nolint:gosec // bounded by memory
		a.stackID[h] = id
		a.stacks = append(a.stacks, h)
	}
	return id
}

// group returns the sums of a group.
func (a *aggregator) group(id uint32) *groupSums {
	for int(id) >= len(a.groups) {
		a.groups = append(a.groups, groupSums{})
	}
	return &a.groups[id]
}

// dense returns the array of a group, or nil when the group is kept in a map.
func (a *aggregator) dense(group uint32) *groupSums {
	if a.step > 0 || (a.byStack && group >= maxDenseGroups) {
		return nil
	}
	g := a.group(group)
	if len(g.dense) < len(a.stacks) {
		g.dense = append(g.dense, make([]sum, len(a.stacks)-len(g.dense))...)
	}
	return g
}

// add adds to a sum. ms is the time of the row, or of nothing without buckets.
func (a *aggregator) add(group uint32, ms int64, stack uint32, count, value int64) {
	if g := a.dense(group); g != nil {
		g.dense[stack].count += count
		g.dense[stack].value += value
		return
	}
	g := a.group(group)
	if g.sparse == nil {
		g.sparse = make(map[cell]sum)
	}
	c := cell{bucket: store.Bucket(libpf.UnixTimeNs(ms*int64(store.Resolution)), a.step), stack: stack}
	old := g.sparse[c]
	g.sparse[c] = sum{old.count + count, old.value + value}
}

// merge adds everything that b holds to a. A sum of nothing is not kept apart
// from no sum in arrays, so each entry's count of rows would be needed to tell
// them apart; samples count at least one, which makes that unnecessary.
func (a *aggregator) merge(b *aggregator) {
	remap := make([]uint32, len(b.stacks))
	if b.byStack {
		for i, h := range b.stacks {
			remap[i] = a.stack(h)
		}
	}
	for id := range b.groups {
		g := &b.groups[id]
		for stack, s := range g.dense {
			if s != (sum{}) {
				a.add(uint32(id), 0, remap[stack], s.count, s.value) //nolint:gosec // was one
			}
		}
		if len(g.sparse) == 0 {
			continue
		}
		into := a.group(uint32(id)) //nolint:gosec // was one
		if into.sparse == nil {
			into.sparse = make(map[cell]sum, len(g.sparse))
		}
		for c, s := range g.sparse {
			c.stack = remap[c.stack]
			old := into.sparse[c]
			into.sparse[c] = sum{old.count + s.count, old.value + s.value}
		}
	}
}

// each hands every sum to yield until it returns false.
func (a *aggregator) each(groups *groups, yield func(*store.Row) bool) {
	var row store.Row
	for id := range a.groups {
		row.Group = groups.values[id]
		row.Bucket = 0
		for stack, s := range a.groups[id].dense {
			if s == (sum{}) {
				continue
			}
			row.Stack, row.Count, row.Value = a.stacks[stack], s.count, s.value
			if !yield(&row) {
				return
			}
		}
		for c, s := range a.groups[id].sparse {
			row.Bucket, row.Stack, row.Count, row.Value = c.bucket, a.stacks[c.stack], s.count, s.value
			if !yield(&row) {
				return
			}
		}
	}
}
