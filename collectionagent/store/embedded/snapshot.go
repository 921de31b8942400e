// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// snapshotsDir is where snapshots lie while somebody reads them. The next start
// removes what is left of those that a crash ended.
const snapshotsDir = "snapshots"

// Snapshot is the state of a store at one moment, as a data directory of its
// own made of hard links. What was acknowledged before it was taken is in it. It must be
// released, and before the store is closed.
type Snapshot struct {
	// Dir is the directory.
	Dir   string
	store *Store
	// logBytes is how much of each log segment belongs to the snapshot: the last one
	// goes on growing.
	logBytes map[string]int64
	blocks   []*blockInfo
	release  func()
}

// Snapshot takes a snapshot. Writers go on meanwhile; writing the head as a block, and
// changes of the list of blocks, wait until the links are made.
func (s *Store) Snapshot(ctx context.Context) (_ *Snapshot, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.RUnlock()
	parent := filepath.Join(s.cfg.Dir, snapshotsDir)
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	dir, err := os.MkdirTemp(parent, time.Now().UTC().Format("20060102T150405-"))
	if err != nil {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	snap := &Snapshot{Dir: dir, store: s, logBytes: make(map[string]int64), release: s.holdObjects()}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("take snapshot: %w", err), snap.Release())
		}
	}()
	for _, d := range []string{"wal", "blocks"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o750); err != nil {
			return nil, err
		}
	}
	// Neither a flush nor a change of the list happens while this is held, so that the
	// checkpoint, the blocks and the log fit together.
	s.listMu.Lock()
	defer s.listMu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.db.Checkpoint(filepath.Join(dir, "meta"), pebble.WithFlushedWAL()); err != nil {
		return nil, fmt.Errorf("copy definitions: %w", err)
	}
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		snap.blocks = append(snap.blocks, b.info)
		if b.info.Remote {
			continue
		}
		for _, name := range b.info.files() {
			if err := vfs.LinkOrCopy(vfs.Default, filepath.Join(s.blocksDir(), name), filepath.Join(dir, "blocks", name)); err != nil {
				return nil, fmt.Errorf("link block: %w", err)
			}
		}
	}
	return snap, snap.linkLog()
}

// linkLog adds the log, which may hold a few records more than the moment. Those
// are whole or the incomplete end of the last segment.
func (p *Snapshot) linkLog() error {
	numbers, err := listSegments(p.store.walDir())
	if err != nil {
		return err
	}
	for _, n := range numbers {
		from, to := segmentPath(p.store.walDir(), n), segmentPath(filepath.Join(p.Dir, "wal"), n)
		if err := os.Link(from, to); err != nil {
			return fmt.Errorf("link log: %w", err)
		}
		info, err := os.Stat(to)
		if err != nil {
			return fmt.Errorf("link log: %w", err)
		}
		p.logBytes[filepath.Base(to)] = info.Size()
	}
	return nil
}

// Release removes the snapshot.
func (p *Snapshot) Release() error {
	if p.release != nil {
		p.release()
		p.release = nil
	}
	if err := os.RemoveAll(p.Dir); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	return nil
}

// snapshotFile is one file of a snapshot.
type snapshotFile struct {
	path string // relative, with slashes
	size int64
	sum  *fileSum // of blocks
	open func() (io.ReadCloser, error)
}

// files lists what a backup consists of: blocks in object storage too.
func (p *Snapshot) files() ([]snapshotFile, error) {
	var files []snapshotFile
	add := func(dir string) error {
		entries, err := os.ReadDir(filepath.Join(p.Dir, dir))
		if err != nil {
			return fmt.Errorf("list snapshot: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return fmt.Errorf("list snapshot: %w", err)
			}
			if !info.Mode().IsRegular() || e.Name() == "LOCK" || (dir == "wal" && filepath.Ext(e.Name()) != ".wal") {
				continue
			}
			f := snapshotFile{path: dir + "/" + e.Name(), size: info.Size()}
			if n, ok := p.logBytes[e.Name()]; ok && dir == "wal" {
				f.size = n
			}
			full := filepath.Join(p.Dir, dir, e.Name())
			f.open = func() (io.ReadCloser, error) { return os.Open(full) } //nolint:gosec // a regular file of the snapshot
			files = append(files, f)
		}
		return nil
	}
	format, err := formatEntry(p.store.cfg.Dir)
	if err := errors.Join(err, add("meta"), add("wal")); err != nil {
		return nil, err
	}
	files = append(files, format)
	for _, b := range p.blocks {
		for _, i := range b.fileInfos() {
			part := &blockInfo{File: i.name, Bytes: i.bytes, Sum: i.sum, Remote: b.Remote}
			files = append(files, snapshotFile{path: "blocks/" + i.name, size: i.bytes, sum: i.sum, open: func() (io.ReadCloser, error) {
				if !part.Remote {
					return os.Open(filepath.Join(p.Dir, "blocks", part.File))
				}
				r, err := p.store.openBlockFile(part)
				if err != nil {
					return nil, err
				}
				return &sectionCloser{io.NewSectionReader(r, 0, part.Bytes), r}, nil
			}})
		}
	}
	slices.SortFunc(files, func(a, b snapshotFile) int { return cmp.Compare(a.path, b.path) })
	return files, nil
}

// sectionCloser reads a block from its start to its end.
type sectionCloser struct {
	*io.SectionReader
	io.Closer
}

// removeSnapshots removes what a crash left.
func (s *Store) removeSnapshots() error {
	if err := os.RemoveAll(filepath.Join(s.cfg.Dir, snapshotsDir)); err != nil {
		return fmt.Errorf("remove unfinished snapshots: %w", err)
	}
	return nil
}
