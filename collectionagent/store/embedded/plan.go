// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"slices"
	"time"
)

// compactionConfig says when blocks are merged. Tests make it small.
type compactionConfig struct {
	// every is how often the engine looks for work, and soon when it does after a head
	// was written.
	every, soon time.Duration
	// window and day are the widths of level 1 and 2.
	window, day time.Duration
	// grace is how long after the end of a window its blocks are merged: samples are
	// late by the time that they spend in the agent and in the head.
	grace time.Duration
	// heads is the number of flushed heads from which they are merged before that, and
	// headRows that of their rows: what so many make is hardly merged again.
	heads    int
	headRows int64
	// readings is how often queries that sums could have answered have to read a row of
	// flushed heads, on average, until they are merged before that: to merge a row costs
	// as much as to read it so often. Then the work is at most twice what it would
	// have been if it were known how often they will be read.
	readings int64
	// hurried, strained and full are rows of flushed heads that wait to be merged, and
	// behind those of blocks that wait to be merged again; see backlog.
	hurried, strained, full, behind int64
	// dayRows bounds a block of a day. A day with more stays in blocks of windows, in
	// which a query for minutes finds less that it does not want.
	dayRows int64
	// smallRows is up to how many rows blocks are merged whatever their sizes.
	smallRows int64
	// inputTable bounds the tables of series of flushed heads that are merged at once.
	inputTable int64
	// A companion is kept beside samples that have at least gain times its rows (-1:
	// always), in blocks of least rows or more.
	gain, least int64
}

func (c compactionConfig) withDefaults() compactionConfig {
	c.every = cmp.Or(c.every, time.Minute)
	c.soon = cmp.Or(c.soon, c.every/60)
	c.window = cmp.Or(c.window, 2*time.Hour)
	c.day = cmp.Or(c.day, 24*time.Hour)
	c.grace = cmp.Or(c.grace, 15*time.Minute)
	c.heads = cmp.Or(c.heads, maxInputs)
	c.headRows = cmp.Or(c.headRows, 16<<20)
	c.readings = cmp.Or(c.readings, 64)
	c.hurried = cmp.Or(c.hurried, 1)
	c.strained = cmp.Or(c.strained, c.headRows)
	c.full = cmp.Or(c.full, 8*c.headRows)
	c.behind = cmp.Or(c.behind, c.headRows)
	c.dayRows = cmp.Or(c.dayRows, 8<<20)
	c.smallRows = cmp.Or(c.smallRows, 64<<10)
	c.inputTable = cmp.Or(c.inputTable, maxInputTable)
	c.gain = max(0, cmp.Or(c.gain, 8))
	c.least = cmp.Or(c.least, 4096)
	return c
}

// Bounds of one merge.
const (
	maxInputs     = 16
	maxInputTable = 32 << 20
)

// job is a merge that is due.
type job struct {
	in []*block
	to target
}

// group is what may be merged with one another.
type group struct {
	seriesScope
	window int64
	kind   sumsKind // of the finest part
}

// plan returns the most urgent merge, nil when none is due. all says that the time
// of every window is to count as over.
func (c *compactionConfig) plan(blocks []*block, now time.Time, all bool) *job {
	if jobs := c.due(blocks, now, all); len(jobs) > 0 {
		return &jobs[0]
	}
	return nil
}

// due returns the merges that are due, the most urgent first. No block is in two.
func (c *compactionConfig) due(blocks []*block, now time.Time, all bool) []job {
	blocks = slices.DeleteFunc(slices.Clone(blocks), func(b *block) bool { return b.aside.Load() })
	slices.SortFunc(blocks, func(a, b *block) int {
		return cmp.Or(cmp.Compare(a.info.MinTime, b.info.MinTime), cmp.Compare(a.info.Number, b.info.Number))
	})
	over := func(start int64, width time.Duration) bool {
		return all || start+(width+c.grace).Milliseconds() <= now.UnixMilli()
	}
	// Heads first: they are read as samples by every query, of all projects and types.
	jobs := c.dueHeads(blocks, over)
	days, windows := make(map[group][]*block), make(map[group][]*block)
	var order []group
	for _, b := range blocks {
		if b.info.Level == 0 {
			continue
		}
		if g, ok := groupOf(b, c.day); ok && over(g.window, c.day) {
			if days[g] == nil {
				order = append(order, g)
			}
			days[g] = append(days[g], b)
		}
	}
	whole := make(map[group]bool)
	for _, g := range order {
		if partRows(days[g]) > c.dayRows {
			continue
		}
		whole[g] = true
		if in := c.pick(days[g]); in != nil {
			jobs = append(jobs, job{in: in, to: target{level: 2, width: c.day.Milliseconds()}})
		}
	}
	order = order[:0]
	for _, b := range blocks {
		if b.info.Level != 1 {
			continue
		}
		if g, ok := groupOf(b, c.day); ok && whole[g] {
			continue // it is merged with its day or not at all
		}
		if g, ok := groupOf(b, c.window); ok && over(g.window, c.window) {
			if windows[g] == nil {
				order = append(order, g)
			}
			windows[g] = append(windows[g], b)
		}
	}
	for _, g := range order {
		if in := c.pick(windows[g]); in != nil {
			jobs = append(jobs, job{in: in, to: target{level: 1, width: c.window.Milliseconds()}})
		}
	}
	return jobs
}

// dueHeads returns the merges of flushed heads that are due. One of format 1 is
// merged alone, since its rows have to be sorted in memory.
func (c *compactionConfig) dueHeads(blocks []*block, over func(int64, time.Duration) bool) (jobs []job) {
	to := target{level: 1, width: c.window.Milliseconds()}
	var heads, due []*block
	read := int64(0)
	for _, b := range blocks {
		if b.info.Level > 0 {
			continue
		}
		// By the last window that it has samples of: nearly every head has some of windows
		// long past, which came late.
		isOver := over(floorTo(b.info.MaxTime, to.width), c.window)
		if !b.info.Sorted {
			if isOver {
				jobs = append(jobs, job{in: []*block{b}, to: to})
			}
			continue
		}
		heads = append(heads, b)
		read += b.wasted.Load()
		if isOver {
			due = append(due, b)
		}
	}
	if rows := partRows(heads); len(heads) >= c.heads || rows >= c.headRows || (rows > 0 && read/rows >= c.readings) {
		due = heads
	}
	for len(due) > 0 {
		n, table := 0, int64(0)
		for n < len(due) && n < maxInputs && (n == 0 || table+due[n].info.TableBytes <= c.inputTable) {
			table += due[n].info.TableBytes
			n++
		}
		jobs = append(jobs, job{in: due[:n:n], to: to})
		due = due[n:]
	}
	return jobs
}

// groupOf returns the window of a width that all of a block lies in.
func groupOf(b *block, width time.Duration) (group, bool) {
	ms := width.Milliseconds()
	g := group{seriesScope{b.info.Project, b.info.Type}, floorTo(b.info.MinTime, ms), b.finest().kind}
	return g, floorTo(b.info.MaxTime, ms) == g.window && g.kind != sumsTotals
}

// partRows returns the rows of the finest parts of blocks.
func partRows(blocks []*block) (n int64) {
	for _, b := range blocks {
		n += b.finest().info.Rows
	}
	return n
}

// pick chooses which blocks of a window to merge, nil when that is not worth it: a
// block is not written again for the sake of much smaller ones, unless they are many.
func (c *compactionConfig) pick(blocks []*block) []*block {
	blocks = slices.Clone(blocks)
	slices.SortStableFunc(blocks, func(a, b *block) int { return cmp.Compare(b.finest().info.Rows, a.finest().info.Rows) })
	// What is too large for one block is not merged; see rewriter.
	fits := func(blocks []*block) bool {
		table := int64(0)
		for _, b := range blocks {
			table += b.info.TableBytes
		}
		return table < maxOutputTable && partRows(blocks) < maxOutputRows
	}
	for len(blocks) > 1 && !fits(blocks) {
		blocks = blocks[1:]
	}
	if len(blocks) > maxInputs {
		blocks = blocks[len(blocks)-maxInputs:] // the smallest
	}
	for first := true; len(blocks) > 1; first = false {
		largest, rest := partRows(blocks[:1]), partRows(blocks[1:])
		if len(blocks) >= 8 || largest+rest <= c.smallRows || (rest*4 >= largest && (first || len(blocks) >= 4)) {
			return blocks
		}
		blocks = blocks[1:]
	}
	return nil
}
