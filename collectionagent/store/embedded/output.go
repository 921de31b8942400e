// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// newOutput creates the files of the next block.
func (w *rewriter) newOutput() (out *output, err error) {
	s := w.store
	out = &output{number: s.nextBlock.Add(1), level: w.to.level, scope: w.scope}
	prefix := filepath.Join(s.blocksDir(), strconv.FormatUint(out.number, 10))
	source := w.in[0].finest()
	if source.kind == "" && !w.to.onlySums {
		if out.samples, err = newSampleFile(&s.cfg.files, prefix+".tmp", w.seconds[w.scope]); err != nil {
			return nil, err
		}
		out.samples.minGroup, out.samples.maxGroup = mergedMinGroupRows, mergedMaxGroupRows
	}
	if w.to.level > 0 {
		withMinutes := source.kind == "" || source.kind == sumsMinutes
		gain, least := s.cfg.compaction.gain, s.cfg.compaction.least
		if out.samples == nil { // they are all that is left
			gain, least = 0, 0
		}
		if out.sums, err = newSumsWriter(&s.cfg.files, prefix, out.samples != nil, withMinutes && !w.to.noMinutes, gain, least); err != nil {
			out.abandon()
			return nil, err
		}
	}
	if out.samples == nil && out.sums == nil {
		return nil, fmt.Errorf("rewrite blocks: %s has no samples for a block of level 0", w.in[0].info.files()[0])
	}
	return out, nil
}

func (o *output) abandon() {
	o.samples.abandon()
	if o.sums != nil {
		o.sums.abandon()
	}
}

// full reports whether the rows of the next series should go to another block.
func (o *output) full() bool {
	if o.samples != nil {
		return o.samples.rows >= maxOutputRows || len(o.samples.table.b) >= maxOutputTable
	}
	return o.sums.hours.rows >= maxOutputRows
}

// begin says which series the rows that follow are of.
func (o *output) begin(s *store.Series) error {
	if o.samples != nil {
		if err := o.samples.begin(s); err != nil {
			return err
		}
	}
	if o.sums != nil {
		return o.sums.begin(s)
	}
	return nil
}

// add adds a row.
func (o *output) add(r *row) error {
	if o.rows == 0 {
		o.minTime, o.maxTime = r.time, r.time
	}
	o.minTime, o.maxTime = min(o.minTime, r.time), max(o.maxTime, r.time)
	o.rows++
	if o.samples != nil {
		if err := o.samples.add(r); err != nil {
			return err
		}
	}
	if o.sums != nil {
		return o.sums.add(r)
	}
	return nil
}

// replace finishes a block that is full and begins another one for the same window.
func (w *rewriter) replace(full *output) (*output, error) {
	for key, out := range w.open {
		if out == full {
			if err := w.close(out); err != nil {
				return nil, err
			}
			next, err := w.newOutput()
			if err != nil {
				return nil, err
			}
			w.open[key] = next
			return next, nil
		}
	}
	return full, nil // cannot be: it is open
}

// closeOutputs finishes all open blocks.
func (w *rewriter) closeOutputs() error {
	for key, out := range w.open {
		if err := w.close(out); err != nil {
			return err
		}
		w.done[key] = true
		delete(w.open, key)
	}
	return nil
}

// close makes the files of a block durable but for their names, which become so
// when the directory is synced.
func (w *rewriter) close(o *output) error {
	s := w.store
	info := &blockInfo{
		Number: o.number, Level: o.level, Project: o.scope.project, Type: o.scope.typ, MinTime: o.minTime, MaxTime: o.maxTime, Sorted: true,
	}
	e := &newEntry{info: info, tables: make(map[sumsKind][]byte)}
	base := fmt.Sprintf("%d-%d-%010d", info.MinTime, info.MaxTime, info.Number)
	if f := o.samples; f != nil {
		if err := f.finish(); err != nil {
			return err
		}
		info.File, info.Rows, info.Bytes, info.TableBytes = base+".parquet", f.rows, f.written, int64(len(f.table.b))
		info.Sum = f.sums.sum()
		e.tables[""] = f.table.encode(s.zstdEnc)
		f.table = tableWriter{}
	}
	if o.sums != nil {
		if err := o.sums.finish(); err != nil {
			return err
		}
		for _, c := range o.sums.files() {
			info.Sums = append(info.Sums, sumsInfo{
				Kind: c.kind, File: base + "-" + string(c.kind) + ".parquet", Rows: c.file.rows, Bytes: c.file.written,
				Sum: c.file.sums.sum(),
			})
			e.tables[c.kind] = c.file.table.encode(s.zstdEnc)
			c.file.table = tableWriter{}
		}
	}
	e.block = s.newBlock(info)
	w.finished = append(w.finished, e) // from here on the names may exist
	if o.samples != nil {
		if err := o.samples.name(filepath.Join(s.blocksDir(), info.File)); err != nil {
			return err
		}
	}
	if o.sums != nil {
		for i, c := range o.sums.files() {
			if err := c.file.name(filepath.Join(s.blocksDir(), info.Sums[i].File)); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandon removes everything that was written.
func (w *rewriter) abandon() {
	for _, out := range w.open {
		out.abandon()
	}
	for _, e := range w.finished {
		for _, name := range e.info.files() {
			_ = w.store.cfg.files.remove(filepath.Join(w.store.blocksDir(), name)) // else at the next start
		}
	}
}
