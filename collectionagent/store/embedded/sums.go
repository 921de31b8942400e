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
	Host    string   `parquet:"host,dict"`    // "" in totals
	HostID  string   `parquet:"host_id,dict"` // "" in totals
	Stack   [16]byte `parquet:"stack,dict"`
	Time    int64    `parquet:"time,timestamp(millisecond),delta"` // start of the minute or hour, 0 in totals
	Count   int64    `parquet:"count,delta"`
	Value   int64    `parquet:"value,delta"`
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

// sumsWriter makes the companions of a block from its rows, as they are written.
type sumsWriter struct {
	// files by kind; no minutes when the rows are sums per hour themselves.
	minutes, hours, totals *rowFile[sumsRow]
	origin                 store.Series // project, type, service, host, host ID
	begun                  bool
	byTime, byStack        cells
	out                    row
}

// newSumsWriter creates the companions, the temporary names of which start with prefix.
func newSumsWriter(ops *fileOps, prefix string, withMinutes bool) (w *sumsWriter, err error) {
	w = &sumsWriter{byTime: cells{limit: maxCells}, byStack: cells{limit: maxCells}}
	defer func() {
		if err != nil {
			w.abandon()
		}
	}()
	if withMinutes {
		if w.minutes, err = newSumsFile(ops, prefix+"-"+string(sumsMinutes)+".tmp"); err != nil {
			return nil, err
		}
	}
	if w.hours, err = newSumsFile(ops, prefix+"-"+string(sumsHours)+".tmp"); err != nil {
		return nil, err
	}
	w.totals, err = newSumsFile(ops, prefix+"-"+string(sumsTotals)+".tmp")
	return w, err
}

func (w *sumsWriter) abandon() {
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
	width := sumsMinutes.width()
	if w.minutes == nil {
		width = sumsHours.width()
	}
	if w.byTime.add(&r.stack, floorTo(r.time, width), r.count, r.value) {
		return w.endOrigin()
	}
	return nil
}

// endOrigin writes the sums by time.
func (w *sumsWriter) endOrigin() error {
	w.byTime.combine()
	rows := w.byTime.rows
	if len(rows) == 0 {
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
	if err := w.write(w.hours, &w.origin, rows); err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if w.byStack.add(&r.stack, 0, r.count, r.value) {
			if err := w.endService(); err != nil {
				return err
			}
		}
	}
	w.byTime.rows = rows[:0]
	return nil
}

// endService writes the sums by stack.
func (w *sumsWriter) endService() error {
	w.byStack.combine()
	if len(w.byStack.rows) == 0 {
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

// files lists the companions.
func (w *sumsWriter) files() []sumsFile {
	files := []sumsFile{{sumsHours, w.hours}, {sumsTotals, w.totals}}
	if w.minutes != nil {
		files = append([]sumsFile{{sumsMinutes, w.minutes}}, files...)
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
