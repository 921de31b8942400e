// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// labelScan is a question about labels, which the series tables of blocks answer
// without their samples where a block lies in the range as a whole. What such files
// say is kept: each for itself, and the sums of all of them, which serve until the
// list of blocks or the blocks that lie in the range change.
type labelScan struct {
	// key says what is counted: of which label, or names, or types.
	key string
	// of appends what a series counts for.
	of func([]string, *store.Series) []string
	// whole are the files that lie in the range as a whole. sums are theirs.
	whole []source
	sums  *labelCounts
}

// takes reports whether the tables of a file suffice, and notes it if so.
func (l *labelScan) takes(sc *scanner, from source) bool {
	if l == nil || bySpan(sc.q) || from.from > from.block.info.MinTime || sc.to <= from.block.info.MaxTime {
		return false
	}
	if from.block.info.Level == 0 && !sc.visible.all(sc.q.Type, from.block.info.MinTime) {
		return false
	}
	l.whole = append(l.whole, from)
	return true
}

// all reports whether everything from a time in ms on of a type (0: of all) is visible.
func (v *visibility) all(t libpf.SampleType, from int64) bool {
	if t != 0 {
		return v.from(t) <= from
	}
	r := &v.store.cfg.Retention
	return len(r.Rules) == 0 && r.Ages == (store.Ages{})
}

// load finds the sums of the files that lie in the range as a whole.
func (l *labelScan) load(ctx context.Context, s *Store, sc *scanner) error {
	if len(l.whole) == 0 {
		l.sums = &labelCounts{}
		return nil
	}
	scope := l.scope(sc.q)
	slices.SortFunc(l.whole, func(a, b source) int {
		return cmp.Or(cmp.Compare(a.block.info.Number, b.block.info.Number), cmp.Compare(a.part.kind, b.part.kind))
	})
	key := append([]byte(scope), "\x00all"...)
	for _, f := range l.whole {
		key = f.appendKey(key)
	}
	for _, f := range l.whole { // what is read, whether or not it is remembered
		sc.note(f.part)
	}
	if l.sums = s.labelCache.get(string(key)); l.sums != nil {
		return nil
	}
	all := make(map[string]sum)
	clock := s.clock.Add(1)
	defer s.evictBlocks()
	for i := range l.whole {
		if err := ctx.Err(); err != nil {
			return err
		}
		counts, err := l.file(s, sc, scope, &l.whole[i], clock)
		if err != nil {
			return err
		}
		for j := range counts.values {
			v := &counts.values[j]
			old, ok := all[v.Value]
			if !ok {
				if err := sc.takeLabel(v.Value); err != nil {
					return err
				}
			}
			all[v.Value] = sum{old.count + v.Count, old.value + v.Sum}
		}
	}
	l.sums = newLabelCounts(all)
	l.sums.sortLargest()
	s.labelCache.put(string(key), l.sums)
	return nil
}

// file returns the counts of one file.
func (l *labelScan) file(s *Store, sc *scanner, scope string, f *source, clock int64) (*labelCounts, error) {
	key := string(f.appendKey([]byte(scope)))
	if counts := s.labelCache.get(key); counts != nil {
		return counts, nil
	}
	c, part, paid, err := s.acquire(f, sc.claim, clock)
	if err != nil {
		return nil, err
	}
	defer sc.claim.Give(paid)
	defer part.release()
	if paid > 0 { // it was just opened: others have to go before the next one is
		s.evictBlocks()
	}
	s.metrics.read(part)
	sums := make(map[string]sum)
	var buf []string
	for i := range c.series {
		series := &c.series[i]
		if !sc.q.InScope(&series.series) {
			continue
		}
		buf = l.of(buf[:0], &series.series)
		for _, value := range buf {
			old, ok := sums[value]
			if !ok {
				if value == "" {
					continue
				}
				if err := sc.takeLabel(value); err != nil {
					return nil, err
				}
				value = strings.Clone(value) // not to keep the table in memory
			}
			sums[value] = sum{old.count + series.count, old.value + series.value}
		}
	}
	counts := newLabelCounts(sums)
	if part == f.part {
		s.labelCache.put(key, counts)
	}
	return counts, nil
}

// takeLabel counts the memory of one more value.
func (sc *scanner) takeLabel(value string) error {
	n := int64(3*labelValueBytes + len(value))
	if err := sc.claim.Take(n); err != nil {
		return err
	}
	sc.groups.taken += n
	return nil
}

// note says which roll-ups an answer is made from.
func (sc *scanner) note(part *block) {
	if part.kind == sumsTotals {
		sc.coarsest = store.RollUpHour
	} else {
		sc.coarsest = max(sc.coarsest, msDuration(part.width))
	}
}

// appendKey names a file. Its content never changes.
func (f *source) appendKey(key []byte) []byte {
	key = binary.AppendUvarint(append(key, 0), f.block.info.Number)
	return append(key, f.part.kind...)
}

// scope names what is counted of a file.
func (l *labelScan) scope(q *store.Query) string {
	var b strings.Builder
	for _, text := range []string{l.key, q.Project, q.Type.String()} {
		b.Write(binary.AppendUvarint(nil, uint64(len(text))))
		b.WriteString(text)
	}
	for _, m := range q.Matchers {
		b.WriteString(m.String())
		b.WriteByte(0)
	}
	return b.String()
}

// labels answers a question about labels: what the files say that lie in the range as
// a whole, and of the rest the sums by group. free gives the memory back.
func (s *Store) labels(ctx context.Context, q *store.Query, l *labelScan) (rest map[string]sum, free func(), err error) {
	plain := withoutDetail(q)
	rollUp := plain.RollUp()
	if l.key == "names" {
		rollUp = 0 // roll-ups know only some
	}
	a, sc, err := s.scanLabels(ctx, plain, l.of, rollUp, false, l)
	if err != nil {
		return nil, nil, err
	}
	rest = make(map[string]sum)
	a.each(&sc.groups, func(row *store.Row) bool {
		for _, value := range row.Group {
			if value == "" {
				continue
			}
			old := rest[value]
			rest[value] = sum{old.count + row.Count, old.value + row.Value}
		}
		return true
	})
	return rest, sc.free, nil
}

// LabelNames implements [store.Store].
func (s *Store) LabelNames(ctx context.Context, q *store.Query) ([]string, error) {
	l := &labelScan{key: "names", of: func(dst []string, series *store.Series) []string {
		series.EachLabelName(func(name string) { dst = append(dst, name) })
		return dst
	}}
	rest, free, err := s.labels(ctx, q, l)
	if err != nil {
		return nil, err
	}
	defer free()
	var all []string
	for i := range l.sums.values {
		all = append(all, l.sums.values[i].Value)
	}
	for name := range rest {
		if _, known := l.sums.find(name); !known {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Types implements [store.Store].
func (s *Store) Types(ctx context.Context, project string, from, to libpf.UnixTimeNs) ([]store.TypeSum, error) {
	l := &labelScan{key: "types", of: func(dst []string, series *store.Series) []string { return append(dst, series.Type.String()) }}
	rest, free, err := s.labels(ctx, &store.Query{Project: project, From: from, To: to}, l)
	if err != nil {
		return nil, err
	}
	defer free()
	var types []store.TypeSum
	for _, v := range l.pick(rest, &store.LabelSearch{}).Values {
		t, parseErr := libpf.ParseSampleType(v.Value)
		err = errors.Join(err, parseErr)
		types = append(types, store.TypeSum{Type: t, Count: v.Count, Sum: v.Sum})
	}
	slices.SortFunc(types, func(a, b store.TypeSum) int { return cmp.Compare(a.Type, b.Type) })
	return types, err
}

// LabelValues implements [store.Store].
func (s *Store) LabelValues(ctx context.Context, q *store.Query, search store.LabelSearch) (store.LabelValues, error) {
	l := &labelScan{key: "values " + search.Name, of: func(dst []string, series *store.Series) []string {
		return append(dst, series.Label(search.Name))
	}}
	byLabel := *q
	byLabel.GroupBy = []string{search.Name}
	rest, free, err := s.labels(ctx, &byLabel, l)
	if err != nil {
		return store.LabelValues{}, err
	}
	defer free()
	return l.pick(rest, &search), nil
}

// pick returns the values that a search asks for, with what the rest adds to them. It
// looks at as few as it can: those that the rest changed are sorted, and the others
// are sorted already unless only some of them are asked for.
func (l *labelScan) pick(rest map[string]sum, search *store.LabelSearch) store.LabelValues {
	first, end := 0, len(l.sums.values)
	if search.Prefix != "" {
		first, end = l.sums.prefix(search.Prefix)
	}
	changed := make(map[uint32]struct{}, min(len(rest), end-first))
	var values []store.LabelValue
	for value, s := range rest {
		if !strings.HasPrefix(value, search.Prefix) {
			continue
		}
		v := store.LabelValue{Value: value, Count: s.count, Sum: s.value}
		if at, known := l.sums.find(value); known {
			v.Count += l.sums.values[at].Count
			v.Sum += l.sums.values[at].Sum
			changed[uint32(at)] = struct{}{} //nolint:gosec // was an index of largest
		}
		values = append(values, v)
	}
	total := len(values) + end - first - len(changed)
	limit := search.Limit
	if limit <= 0 {
		limit = math.MaxInt
	}
	top := newTopValues(min(limit, total))
	for i := range values {
		top.offer(&values[i])
	}
	if search.Prefix == "" { // the order is known
		for _, at := range l.sums.largest {
			if _, ok := changed[at]; !ok && !top.offer(&l.sums.values[at]) {
				break
			}
		}
	} else {
		for at := first; at < end; at++ {
			if _, ok := changed[uint32(at)]; !ok { //nolint:gosec // an index of largest
				top.offer(&l.sums.values[at])
			}
		}
	}
	out := store.LabelValues{Values: top.sorted()}
	out.Hidden = total - len(out.Values)
	return out
}

// topValues keeps the largest of many values: a heap with the least in front.
type topValues struct {
	limit  int
	values []store.LabelValue
}

func newTopValues(limit int) *topValues {
	return &topValues{limit: limit, values: make([]store.LabelValue, 0, limit)}
}

// offer keeps a value if it is among the largest so far. It reports whether it is.
func (t *topValues) offer(v *store.LabelValue) bool {
	if len(t.values) < t.limit {
		t.values = append(t.values, *v)
		if len(t.values) == t.limit {
			for i := t.limit/2 - 1; i >= 0; i-- {
				t.sink(i)
			}
		}
		return true
	}
	if t.limit == 0 || v.Compare(&t.values[0]) >= 0 {
		return false
	}
	t.values[0] = *v
	t.sink(0)
	return true
}

// sink puts a value in its place in the heap.
func (t *topValues) sink(i int) {
	for {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(t.values) && t.values[child].Compare(&t.values[least]) > 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		t.values[i], t.values[least] = t.values[least], t.values[i]
		i = least
	}
}

// sorted returns the values, the largest first.
func (t *topValues) sorted() []store.LabelValue {
	store.SortLabelValues(t.values)
	return t.values
}
