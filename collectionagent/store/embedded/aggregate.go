// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// groups gives the groups of a query dense numbers. It is safe for concurrent use.
type groups struct {
	claim *memory.Claim
	taken int64

	mu     sync.Mutex
	byKey  map[string]uint32
	values [][]string
	buf    []string
	key    []byte
	err    error // why there was no memory for more
}

// id returns the number of the group of a series, none for want of memory.
func (g *groups) id(s *store.Series, groupOf func([]string, *store.Series) []string) uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = groupOf(g.buf[:0], s)
	g.key = g.key[:0]
	for _, text := range g.buf {
		g.key = appendString(g.key, text)
	}
	id, ok := g.byKey[string(g.key)]
	if !ok {
		n := groupBytes + 2*int64(len(g.key)) + 16*int64(len(g.buf))
		if g.err == nil {
			g.err = g.claim.Take(n)
		}
		if g.err != nil {
			return none
		}
		g.taken += n
		id = uint32(len(g.values)) //nolint:gosec // there are fewer series
		g.byKey[string(g.key)] = id
		g.values = append(g.values, append([]string(nil), g.buf...))
	}
	return id
}

// free gives the memory back.
func (g *groups) free() {
	g.claim.Give(g.taken)
	g.taken = 0
}

// sum is what an answer counts.
type sum struct{ count, value int64 }

// cell is the place of a sum within its group.
type cell struct {
	bucket libpf.UnixTimeNs
	stack  uint32
}

// Rough sizes of entries with their share of arrays that double and of maps.
const (
	groupBytes = 96  // a group, without its texts
	sumsBytes  = 64  // the sums of a group, without them
	cellBytes  = 64  // a sum in a map
	denseBytes = 24  // a sum in an array that grows
	stackBytes = 100 // a stack with its number
)

// takeAtOnce is what an aggregator counts before it asks for it.
const takeAtOnce = 64 << 10

// maxDenseGroups is up to how many groups keep an array with an entry for every
// stack; beyond, most entries would stay empty.
const maxDenseGroups = 16

// maxDenseSums is how many sums arrays of buckets have together: 64 MiB.
const maxDenseSums = 1 << 22

// groupSums are the sums of one group: in an array by stack or by bucket where
// that is small enough, else in a map.
type groupSums struct {
	dense  []sum
	sparse map[cell]sum
}

// buckets are the time buckets that an answer can have.
type buckets struct {
	first, step libpf.UnixTimeNs
	n           int64 // 0: too many for an array
	// The same in ms; stepMs is 0 when the step is not a whole number of them.
	firstMs, stepMs int64
}

// newBuckets returns the buckets of the times from one millisecond to another.
func newBuckets(step time.Duration, from, to int64) buckets {
	first := store.Bucket(nanoseconds(from), step)
	b := buckets{first: first, step: libpf.UnixTimeNs(step), firstMs: store.FloorMs(first)}
	if step%store.Resolution == 0 {
		b.stepMs = int64(step / store.Resolution)
	}
	if n := int64(store.Bucket(nanoseconds(to), step)-first)/int64(step) + 1; n > 0 && n <= maxDenseSums {
		b.n = n
	}
	return b
}

// nanoseconds returns the time of a stored millisecond.
func nanoseconds(ms int64) libpf.UnixTimeNs { return libpf.UnixTimeNs(ms * int64(store.Resolution)) }

// aggregator sums up what one goroutine reads.
type aggregator struct {
	byStack bool
	step    time.Duration
	buckets buckets // of an answer with buckets
	stackID stackIndex
	stacks  []libpf.TraceHash
	groups  []groupSums

	// claim is the memory of the query: what was taken of it for this aggregator, and
	// what is still to be asked for. err is why there was no more; what was added
	// since is incomplete.
	claim       *memory.Claim
	taken, owed int64
	err         error
}

func newAggregator(q *store.Query, b buckets, claim *memory.Claim) *aggregator {
	a := &aggregator{byStack: q.ByStack, step: q.Step, buckets: b, claim: claim}
	if !q.ByStack {
		a.stacks = []libpf.TraceHash{{}} // every row has stack 0
	}
	return a
}

// take counts memory that is about to be used. It returns false when there is none.
func (a *aggregator) take(n int64) bool {
	if a.owed += n; a.owed < takeAtOnce {
		return true
	}
	if a.err == nil {
		if a.err = a.claim.Take(a.owed); a.err == nil {
			a.taken += a.owed
		}
	}
	a.owed = 0
	return a.err == nil
}

// free gives the memory back.
func (a *aggregator) free() {
	a.claim.Give(a.taken)
	a.taken = 0
}

// stack returns the number of a stack.
func (a *aggregator) stack(h libpf.TraceHash) uint32 {
	id, isNew := a.stackID.number(a.stacks, h)
	if isNew {
		a.take(stackBytes)
		a.stacks = append(a.stacks, h)
	}
	return id
}

// group returns the sums of a group.
func (a *aggregator) group(id uint32) *groupSums {
	for int(id) >= len(a.groups) {
		a.take(sumsBytes)
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
	if more := len(a.stacks) - len(g.dense); more > 0 {
		a.take(denseBytes * int64(more))
		g.dense = append(g.dense, make([]sum, len(a.stacks)-len(g.dense))...)
	}
	return g
}

// byBucket reports whether a group is kept as an array of buckets.
func (a *aggregator) byBucket(group uint32) bool {
	return a.step > 0 && !a.byStack && a.buckets.n > 0 && int64(group) < maxDenseSums/a.buckets.n
}

// bucketSums returns the sums of a group by bucket, nil where it has no array of
// buckets of whole milliseconds.
func (a *aggregator) bucketSums(group uint32) []sum {
	if a.buckets.stepMs == 0 || !a.byBucket(group) {
		return nil
	}
	g := a.group(group)
	if g.dense == nil {
		g.dense = make([]sum, a.buckets.n)
	}
	return g.dense
}

// index returns the index of the bucket of a time.
func (b *buckets) index(ms int64) int64 {
	if b.stepMs > 0 {
		return (ms - b.firstMs) / b.stepMs
	}
	return int64((nanoseconds(ms) - b.first) / b.step)
}

// add adds to a sum. ms is the time of the row, or of nothing without buckets.
func (a *aggregator) add(group uint32, ms int64, stack uint32, count, value int64) {
	if g := a.dense(group); g != nil {
		g.dense[stack].count += count
		g.dense[stack].value += value
		return
	}
	g := a.group(group)
	if a.byBucket(group) {
		if g.dense == nil && !a.denseBuckets(g) {
			return
		}
		s := &g.dense[a.buckets.index(ms)]
		s.count += count
		s.value += value
		return
	}
	a.addSparse(g, cell{bucket: store.Bucket(nanoseconds(ms), a.step), stack: stack}, sum{count, value})
}

// denseBuckets makes the array of buckets of a group. It returns false when there is
// no memory for it.
func (a *aggregator) denseBuckets(g *groupSums) bool {
	if !a.take(max(takeAtOnce, a.buckets.n*16)) {
		return false
	}
	g.dense = make([]sum, a.buckets.n)
	return true
}

// addSparse adds to a sum in the map, unless there is no memory for one more.
func (a *aggregator) addSparse(g *groupSums, c cell, s sum) {
	old, ok := g.sparse[c]
	if !ok && !a.take(cellBytes) {
		return
	}
	if g.sparse == nil {
		g.sparse = make(map[cell]sum)
	}
	g.sparse[c] = sum{old.count + s.count, old.value + s.value}
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
		if a.err != nil {
			return
		}
		g, group := &b.groups[id], uint32(id) //nolint:gosec // was one
		byBucket := b.byBucket(group)
		for i, s := range g.dense {
			switch {
			case s == (sum{}):
			case byBucket:
				into := a.group(group)
				if into.dense == nil && !a.denseBuckets(into) {
					return
				}
				into.dense[i].count += s.count
				into.dense[i].value += s.value
			default:
				a.add(group, 0, remap[i], s.count, s.value)
			}
		}
		into := a.group(group)
		for c, s := range g.sparse {
			c.stack = remap[c.stack]
			a.addSparse(into, c, s)
		}
	}
}

// each hands every sum to yield until it returns false.
func (a *aggregator) each(groups *groups, yield func(*store.Row) bool) {
	var row store.Row
	for id := range a.groups {
		row.Group = groups.values[id]
		row.Bucket, row.Stack = 0, libpf.TraceHash{}
		byBucket := a.byBucket(uint32(id)) //nolint:gosec // was one
		for i, s := range a.groups[id].dense {
			if s == (sum{}) {
				continue
			}
			row.Count, row.Value = s.count, s.value
			if byBucket {
				row.Bucket = a.buckets.first + libpf.UnixTimeNs(i)*a.buckets.step
			} else {
				row.Stack = a.stacks[i]
			}
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
