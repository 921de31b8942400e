// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// sumsRow is a row of a companion, as any reader of Parquet sees it: the sums of
// count and value of the samples that are the same in all other columns.
type sumsRow struct {
	Project string   `parquet:"project,dict"`
	Type    string   `parquet:"type,dict"`
	Service string   `parquet:"service,dict"`
	Host    string   `parquet:"host,dict"`                         // "" in totals
	HostID  string   `parquet:"host_id,dict"`                      // "" in totals
	Stack   [16]byte `parquet:"stack,dict"`                        // 0 in sums per second
	Time    int64    `parquet:"time,timestamp(millisecond),delta"` // start of the second, minute or hour, 0 in totals
	Count   int64    `parquet:"count,dict"`
	Value   int64    `parquet:"value,dict"`
}

// newSumsFile creates a companion.
func newSumsFile(ops *fileOps, path string) (*rowFile[sumsRow], error) {
	return newRowFile(ops, path, func(s *store.Series) (sumsRow, error) {
		return sumsRow{Project: s.Project, Type: s.Type.String(), Service: s.Service, Host: s.Host, HostID: s.HostID}, nil
	}, func(r *sumsRow, from *row) {
		r.Stack, r.Time, r.Count, r.Value = from.stack, from.time, from.count, from.value
	})
}

// cells collects sums and adds up those of the same stack and time. A list that
// has grown to its limit is handed on though some of its sums may get more:
// several rows of a companion for one sum are as good as one.
type cells struct {
	rows  []sumsCell
	limit int
}

// sumsCell is a sum of rows of one stack and time.
type sumsCell struct {
	stack              [16]byte
	time, count, value int64
}

// add adds to a sum. full says that the list must be handed on before the next one.
func (c *cells) add(stack *[16]byte, time, count, value int64) (full bool) {
	if n := len(c.rows); n > 0 {
		if last := &c.rows[n-1]; last.time == time && last.stack == *stack {
			last.count += count
			last.value += value
			return false
		}
	}
	c.rows = append(c.rows, sumsCell{*stack, time, count, value})
	if len(c.rows) < c.limit {
		return false
	}
	c.combine()
	return len(c.rows) > c.limit/2
}

// combine sorts the list and adds up what belongs together.
func (c *cells) combine() {
	order := func(a, b sumsCell) int {
		if c := bytes.Compare(a.stack[:], b.stack[:]); c != 0 {
			return c
		}
		return cmp.Compare(a.time, b.time)
	}
	if !slices.IsSortedFunc(c.rows, order) {
		slices.SortFunc(c.rows, order)
	}
	n := 0
	for i := range c.rows {
		r := &c.rows[i]
		if n > 0 && c.rows[n-1].stack == r.stack && c.rows[n-1].time == r.time {
			c.rows[n-1].count += r.count
			c.rows[n-1].value += r.value
			continue
		}
		c.rows[n] = *r
		n++
	}
	c.rows = c.rows[:n]
}

// maxCells bounds the memory of sums that are being made: 48 bytes each.
const maxCells = 1 << 18

// sumsWriter makes the companions of a block from its rows, as they are written. A
// companion that has not many fewer rows than the samples is not worth its place:
// queries read the samples as fast. It is given up, and made when they are dropped.
type sumsWriter struct {
	// Given up ones are nil; so are minutes when the rows are sums per hour themselves,
	// and seconds when the rows are not samples.
	seconds, minutes, hours, totals *rowFile[sumsRow]
	// gain is how many times the rows of a companion the block must have, 0: all stay.
	gain int64
	// least is how many rows a block must have for companions to stay.
	least           int64
	rows            int64
	width           int64        // ms: what times are cut to
	origin          store.Series // project, type, service, host, host ID
	begun           bool
	byTime, byStack cells
	bySecond        map[int64]sum // by start of the second, in ms
	inSecond        []sumsCell    // the same, in order
	out             row
}

// maxSeconds bounds the memory of sums per second.
const maxSeconds = 1 << 16

// sumsEarly is the number of rows from which a companion may be given up.
const sumsEarly = 1 << 18

// newSumsWriter creates the companions, the temporary names of which start with prefix.
func newSumsWriter(ops *fileOps, prefix string, withSeconds, withMinutes bool, gain, least int64) (_ *sumsWriter, err error) {
	w := &sumsWriter{byTime: cells{limit: maxCells}, byStack: cells{limit: maxCells}, gain: gain, least: least}
	defer func() {
		if err != nil {
			w.abandon()
		}
	}()
	for _, f := range []struct {
		file **rowFile[sumsRow]
		kind sumsKind
	}{{&w.seconds, sumsSeconds}, {&w.minutes, sumsMinutes}, {&w.hours, sumsHours}, {&w.totals, sumsTotals}} {
		if (f.kind == sumsSeconds && !withSeconds) || (f.kind == sumsMinutes && !withMinutes) {
			continue
		}
		if *f.file, err = newSumsFile(ops, prefix+"-"+string(f.kind)+".tmp"); err != nil {
			return nil, err
		}
	}
	w.cut()
	return w, nil
}

// cut sets what times are cut to by the finest companion that is left.
func (w *sumsWriter) cut() {
	switch {
	case w.minutes != nil:
		w.width = sumsMinutes.width()
	case w.hours != nil:
		w.width = sumsHours.width()
	default:
		w.width = 0
	}
}

// weigh gives up what has too many rows. There are no sums by time in memory.
func (w *sumsWriter) weigh(final bool) {
	if w.gain == 0 || (!final && w.rows < sumsEarly) {
		return
	}
	for _, f := range []**rowFile[sumsRow]{&w.seconds, &w.minutes, &w.hours, &w.totals} {
		if *f != nil && (((*f).rows+(*f).entry.rows)*w.gain > w.rows || (final && w.rows < w.least)) {
			(*f).abandon()
			*f = nil
		}
	}
	if final && w.hours != nil && w.totals != nil && w.totals.rows*2 > w.hours.rows {
		w.totals.abandon() // sums per hour do as well
		w.totals = nil
	}
	w.cut()
}

func (w *sumsWriter) abandon() {
	w.seconds.abandon()
	w.minutes.abandon()
	w.hours.abandon()
	w.totals.abandon()
}

// begin says which series the rows that follow are of.
func (w *sumsWriter) begin(s *store.Series) error {
	if w.begun && seriesHasOrigin(s, &w.origin) {
		return nil
	}
	if err := w.endOrigin(); err != nil {
		return err
	}
	if w.begun && s.Service != w.origin.Service {
		if err := w.endService(); err != nil {
			return err
		}
	}
	w.origin = store.Series{Project: s.Project, Type: s.Type, Service: s.Service, Host: s.Host, HostID: s.HostID}
	w.begun = true
	return nil
}

// add adds a row of the series.
func (w *sumsWriter) add(r *row) error {
	w.rows++
	if w.seconds != nil {
		if w.bySecond == nil {
			w.bySecond = make(map[int64]sum)
		}
		second := floorTo(r.time, sumsSeconds.width())
		s := w.bySecond[second]
		w.bySecond[second] = sum{s.count + r.count, s.value + r.value}
		if len(w.bySecond) >= maxSeconds {
			if err := w.endSeconds(); err != nil {
				return err
			}
		}
	}
	if w.minutes == nil && w.hours == nil && w.totals == nil {
		return nil
	}
	time := int64(0)
	if w.width > 0 {
		time = floorTo(r.time, w.width)
	}
	if w.byTime.add(&r.stack, time, r.count, r.value) {
		return w.endOrigin()
	}
	return nil
}

// endOrigin writes the sums by time.
func (w *sumsWriter) endOrigin() error {
	if err := w.endSeconds(); err != nil {
		return err
	}
	w.byTime.combine()
	rows := w.byTime.rows
	if len(rows) == 0 {
		w.weigh(false)
		return nil
	}
	if w.minutes != nil {
		if err := w.write(w.minutes, &w.origin, rows); err != nil {
			return err
		}
		for i := range rows {
			rows[i].time = floorTo(rows[i].time, sumsHours.width())
		}
		w.byTime.combine()
		rows = w.byTime.rows
	}
	if w.hours != nil {
		if err := w.write(w.hours, &w.origin, rows); err != nil {
			return err
		}
	}
	for i := range rows {
		r := &rows[i]
		if w.totals != nil && w.byStack.add(&r.stack, 0, r.count, r.value) {
			if err := w.endService(); err != nil {
				return err
			}
		}
	}
	w.byTime.rows = rows[:0]
	w.weigh(false)
	return nil
}

// endSeconds writes the sums per second.
func (w *sumsWriter) endSeconds() error {
	if len(w.bySecond) == 0 {
		return nil
	}
	w.inSecond = w.inSecond[:0]
	for second, s := range w.bySecond {
		w.inSecond = append(w.inSecond, sumsCell{time: second, count: s.count, value: s.value})
	}
	clear(w.bySecond)
	if w.seconds == nil {
		return nil
	}
	slices.SortFunc(w.inSecond, func(a, b sumsCell) int { return cmp.Compare(a.time, b.time) })
	return w.write(w.seconds, &w.origin, w.inSecond)
}

// endService writes the sums by stack.
func (w *sumsWriter) endService() error {
	w.byStack.combine()
	if len(w.byStack.rows) == 0 || w.totals == nil {
		w.byStack.rows = w.byStack.rows[:0]
		return nil
	}
	service := store.Series{Project: w.origin.Project, Type: w.origin.Type, Service: w.origin.Service}
	err := w.write(w.totals, &service, w.byStack.rows)
	w.byStack.rows = w.byStack.rows[:0]
	return err
}

// write writes sums of one series.
func (w *sumsWriter) write(f *rowFile[sumsRow], s *store.Series, rows []sumsCell) error {
	if err := f.begin(s); err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		w.out.stack, w.out.time, w.out.count, w.out.value = r.stack, r.time, r.count, r.value
		if err := f.add(&w.out); err != nil {
			return err
		}
	}
	return nil
}

// finish makes the files durable under their temporary names.
func (w *sumsWriter) finish() error {
	if err := w.endOrigin(); err != nil {
		return err
	}
	if err := w.endService(); err != nil {
		return err
	}
	w.weigh(true)
	for _, f := range w.files() {
		if err := f.file.finish(); err != nil {
			return err
		}
	}
	return nil
}

// sumsFile is a companion that is being written.
type sumsFile struct {
	kind sumsKind
	file *rowFile[sumsRow]
}

// files lists the companions that are left.
func (w *sumsWriter) files() []sumsFile {
	var files []sumsFile
	for _, f := range []sumsFile{{sumsSeconds, w.seconds}, {sumsMinutes, w.minutes}, {sumsHours, w.hours}, {sumsTotals, w.totals}} {
		if f.file != nil {
			files = append(files, f)
		}
	}
	return files
}

// floorTo returns the largest multiple of width that is not larger than ms.
func floorTo(ms, width int64) int64 {
	rest := ms % width
	if rest < 0 {
		rest += width
	}
	return ms - rest
}
