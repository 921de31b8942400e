// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
	"github.com/strobe-profiler/strobe/libpf"
)

// Finding is something that a verification found.
type Finding struct {
	// Problem says that data is lost or cannot be read; the rest are remarks.
	Problem bool   `json:"problem"`
	Path    string `json:"path"` // relative to the directory
	What    string `json:"what"`
	Do      string `json:"do,omitempty"`
}

// Verified says what a verification read.
type Verified struct {
	Blocks      int   `json:"blocks"`
	Files       int   `json:"files"`
	Rows        int64 `json:"rows"`
	Bytes       int64 `json:"bytes"`
	WithoutSums int   `json:"files_without_checksum"` // of older versions
	Definitions int64 `json:"definitions"`
	Batches     int   `json:"batches_in_log"`
	Problems    int   `json:"problems"`
}

// What to do about problems.
const (
	doBlock  = "put the file back from a backup, or delete its time range; until then queries that need it fail"
	doMeta   = "restore the store from a backup"
	doLog    = "the server starts and keeps the damaged part in wal/quarantine; a backup may have its samples"
	doBackup = "use another backup"
)

// verifier reads everything in a store.
type verifier struct {
	*Store
	sum    Verified
	report func(*Finding)
}

// VerifyDir reads everything in the directory of a store, which no server may have
// open, or in a backup, and reports what is wrong. bucket has the blocks that
// are in object storage, nil: they are not looked at. The error is that of the
// verification itself.
func VerifyDir(ctx context.Context, dir string, bucket objects.Bucket, report func(*Finding)) (_ *Verified, err error) {
	unlock, err := lockOffline(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s, err := offline(dir, bucket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errFormat) { // which is no damage
		return nil, err
	}
	v := &verifier{Store: s, report: report}
	if err != nil {
		v.problem("meta", doMeta, err)
		return &v.sum, nil
	}
	defer func() { err = errors.Join(err, s.closeOffline()) }()
	return &v.sum, v.run(ctx)
}

// Verify reads everything in a snapshot of the running store.
func (s *Store) Verify(ctx context.Context, report func(*Finding)) (_ *Verified, err error) {
	p, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Release()) }()
	o, err := offline(p.Dir, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.closeOffline()) }()
	o.remote = s.remote.share()
	v := &verifier{Store: o, report: report}
	return &v.sum, v.run(ctx)
}

func (v *verifier) problem(path, do string, err error) {
	v.sum.Problems++
	v.report(&Finding{Problem: true, Path: path, What: err.Error(), Do: do})
}

func (v *verifier) remark(path, what, do string) {
	v.report(&Finding{Path: path, What: what, Do: do})
}

func (v *verifier) run(ctx context.Context) error {
	if err := v.manifest(ctx); err != nil {
		return err
	}
	if err := v.db.CheckLevels(nil); err != nil {
		v.problem("meta", doMeta, err)
	}
	m, err := readMeta(v.db)
	if err != nil {
		v.problem("meta", doMeta, err)
		return nil
	}
	listed, err := v.definitions(ctx, m)
	if err != nil {
		return err
	}
	if err := v.orphans(listed); err != nil {
		return err
	}
	return v.log(ctx, m)
}

// manifest checks the files of a backup.
func (v *verifier) manifest(ctx context.Context) error {
	m, err := ReadManifest(v.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		v.problem(ManifestName, doBackup, err)
		return nil
	}
	for _, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !filepath.IsLocal(f.Path) {
			v.problem(f.Path, doBackup, errors.New("the manifest names a file outside of the backup"))
			continue
		}
		var s summer
		if err := readAll(&s, filepath.Join(v.cfg.Dir, filepath.FromSlash(f.Path))); err != nil {
			v.problem(f.Path, doBackup, err)
			continue
		}
		if s.size != f.Bytes || s.whole != f.CRC {
			v.problem(f.Path, doBackup, fmt.Errorf("%w (manifest of the backup)", errSum))
		}
	}
	return nil
}

func readAll(w io.Writer, path string) error {
	f, err := os.Open(path) //nolint:gosec // inside the backup: what is not is refused above
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // was only read
	_, err = io.Copy(w, f)
	return err
}

// definitions decodes every entry of Pebble, and reads the blocks that it lists.
func (v *verifier) definitions(ctx context.Context, m *meta) (listed map[string]bool, err error) {
	listed = make(map[string]bool)
	packs := make(map[string]int) // stacks in each
	numbers := make(map[uint64]bool)
	var counts defCounts
	n := 0
	err = scan(v.db, nil, func(key, value []byte) error {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		switch key[0] {
		case keyBlock:
			var info *blockInfo
			if info, err = decodeBlockInfo(value); err == nil {
				numbers[info.Number] = true
				for _, name := range info.files() {
					listed[name] = true
				}
				if err := v.block(ctx, info); err != nil {
					return err
				}
			}
		case keySeries:
			if len(key) < 9 {
				err = fmt.Errorf("%w: key of a series table", errCodec)
			}
		case keyStack:
			counts.stacks++
			err = checkStack(key, value, packs)
		case keyPack:
			packs[string(key)], err = checkPack(value)
		case keySymbol:
			counts.symbols++
			_, _, err = decodeSymbol(value)
		case keyExecutable:
			counts.executables++
			_, err = decodeExecutable(libpf.FileID{}, value)
		case keyHost:
			counts.hosts++
			_, err = decodeHost("", value)
		case keyMetric:
			d := decoder{b: value}
			d.varint()
			err = d.err
		}
		if err != nil {
			v.problem(fmt.Sprintf("meta, key %q", key), doMeta, err)
		}
		v.sum.Definitions++
		return nil
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		v.problem("meta", doMeta, err)
	}
	for _, kind := range []byte{windowSamples, windowDefinitions} {
		if _, err := loadWindows(v.db, kind, time.Hour); err != nil {
			v.problem("meta", doMeta, err)
		}
	}
	if counts != m.counts {
		v.remark("meta", fmt.Sprintf("there are %+v definitions, %+v were counted", counts, m.counts), "")
	}
	return listed, nil
}

// checkPack reads a pack and returns how many stacks it has.
func checkPack(value []byte) (stacks int, err error) {
	p, err := decodePack(value)
	if err != nil {
		return 0, err
	}
	return len(p.shared), p.stacks(nil, func(int, []uint32) error { return nil })
}

// checkStack reads a stack. packs are those that there are, with their stacks.
func checkStack(key, value []byte, packs map[string]int) error {
	r, ok, err := decodeRef(value)
	if err != nil {
		return err
	}
	if !ok {
		_, err = decodeFrames(value)
		return err
	}
	if len(key) < 17 {
		return fmt.Errorf("%w: key of a stack", errCodec)
	}
	if n, ok := packs[string(refKey(key, r))]; !ok || r.position >= n {
		return errNoPack
	}
	return nil
}

// block reads the files of a block, and compares its rows with its tables and with
// what the list says.
func (v *verifier) block(ctx context.Context, info *blockInfo) error {
	v.sum.Blocks++
	b := v.newBlock(info)
	defer b.kill()
	var samples *[2]int64
	for _, part := range b.parts() {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := "blocks/" + part.info.File
		if info.Remote && v.remote == nil {
			v.remark(path, "is in object storage and was not looked at", "give -object-store")
			continue
		}
		v.sum.Files++
		v.sum.Bytes += part.info.Bytes
		if part.info.Sum == nil {
			v.sum.WithoutSums++
		}
		sums, err := v.part(ctx, part)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			v.problem(path, doBlock, err)
		case part.kind == "":
			samples = &sums
			v.sum.Rows += part.info.Rows
		case samples != nil && *samples != sums:
			v.problem(path, doBlock, fmt.Errorf("its sums are %d samples with a value of %d, those of the samples %d and %d",
				sums[0], sums[1], samples[0], samples[1]))
		}
	}
	return nil
}

// part reads a file of a block to its end. It returns the sums of count and value.
func (v *verifier) part(ctx context.Context, part *block) (sums [2]int64, err error) {
	defer v.caught(&err)
	r, err := part.read(part.info)
	if err != nil {
		return sums, err
	}
	err = errors.Join(checkSum(io.NewSectionReader(r, 0, part.info.Bytes), part.info.Bytes, part.info.Sum), r.Close())
	if err != nil {
		return sums, err
	}
	c, _, err := part.acquire(1)
	if err != nil {
		return sums, err
	}
	defer part.release()
	defer readFor(ctx, c.file)()
	if rows := c.parquet.NumRows(); rows != part.info.Rows {
		return sums, fmt.Errorf("%w: %d rows, the list of blocks says %d", errCodec, rows, part.info.Rows)
	}
	if part.kind == "" {
		return compareTable(ctx, c, part.info, seriesRow, func(r *blockRow) (row, blockRow) {
			at := row{time: r.Time, count: r.Count, value: r.Value}
			fixed := *r
			fixed.Stack, fixed.Time, fixed.Count, fixed.Value, fixed.TraceID, fixed.SpanID = [16]byte{}, 0, 0, 0, [16]byte{}, [8]byte{}
			return at, fixed
		})
	}
	return compareTable(ctx, c, part.info, sumsSeriesRow, func(r *sumsRow) (row, sumsRow) {
		at := row{time: r.Time, count: r.Count, value: r.Value}
		fixed := *r
		fixed.Stack, fixed.Time, fixed.Count, fixed.Value = [16]byte{}, 0, 0, 0
		return at, fixed
	})
}

// sumsSeriesRow returns the columns that all rows of a series share in a companion.
func sumsSeriesRow(s *store.Series) (sumsRow, error) {
	return sumsRow{Project: s.Project, Type: s.Type.String(), Service: s.Service, Host: s.Host, HostID: s.HostID}, nil
}

// orphans remarks on files that nothing refers to, and on what the log lost before.
func (v *verifier) orphans(listed map[string]bool) error {
	entries, err := os.ReadDir(v.blocksDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a backup without blocks has none
		return fmt.Errorf("list blocks: %w", err)
	}
	for _, e := range entries {
		if !listed[e.Name()] {
			v.remark("blocks/"+e.Name(), "is not in the list of blocks", "nothing: the next start removes what a crash left")
		}
	}
	entries, err = os.ReadDir(filepath.Join(v.walDir(), "quarantine"))
	if err == nil && len(entries) > 0 {
		v.remark("wal/quarantine", fmt.Sprintf("%d damaged parts of the log were put aside at a start", len(entries)), "")
	}
	return nil
}

// log decodes every record that the next start would replay.
func (v *verifier) log(ctx context.Context, m *meta) error {
	numbers, err := listSegments(v.walDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r := &replayer{dir: v.walDir()}
	for i, n := range numbers {
		if n < m.walFirst {
			continue
		}
		from := int64(0)
		if n == m.walFirst {
			from = m.walOffset
		}
		path := segmentPath("wal", n)
		err := v.segment(ctx, r, n, from, i == len(numbers)-1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			v.problem(path, doLog, err)
		}
	}
	return nil
}

// segment decodes the records of a segment from an offset on.
func (v *verifier) segment(ctx context.Context, r *replayer, n uint64, from int64, last bool) (err error) {
	path := segmentPath("wal", n)
	in, err := openSegment(v.walDir(), n, r.memory)
	if err != nil {
		return err
	}
	defer func() {
		r.memory = in.keep
		err = errors.Join(err, in.close())
	}()
	pos, intact, err := in.start()
	if err != nil {
		return err
	}
	if !intact && pos > from {
		v.problem(path, doLog, fmt.Errorf("%w: it does not start as a log does", errCodec))
	}
	r.tables, r.lost = logTables{}, 0
	for pos < in.size {
		if err := ctx.Err(); err != nil {
			return err
		}
		payload, size, ok, err := in.record(pos)
		if err != nil {
			return err
		}
		if !ok {
			next, err := in.next(pos + 1)
			if err != nil {
				return err
			}
			if next == in.size && last {
				v.remark(path, "ends in the middle of a record that was never acknowledged", "")
			} else if next > from {
				v.problem(path, doLog, fmt.Errorf("%w: bytes %d to %d", errSum, pos, next))
			}
			pos = next
			continue
		}
		old := pos+size <= from
		record, err := r.decode(payload, old)
		if err == nil {
			var lost int
			lost, err = record.join(&r.tables, func(*store.Batch) {})
			r.lost += lost
			v.sum.Batches += len(record.batches)
		}
		if err != nil && !old {
			v.problem(path, doLog, fmt.Errorf("record at byte %d: %w", pos, err))
		}
		r.records.Put(record)
		pos += size
	}
	if r.lost > 0 {
		v.problem(path, doLog, fmt.Errorf("%w: %d samples in intact records refer to what only damaged ones have", errCodec, r.lost))
	}
	return nil
}
