// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Pebble ends the process, or panics, when it cannot write its log or its
// manifest, and tries again without a pause when it cannot write a table. A disk
// that is full for an hour must do neither, so Pebble works on a file system
// that waits: an operation that fails because of the disk is repeated until it
// works. Meanwhile the store refuses writes and goes on answering queries.
//
// Repeating a write is simple: nothing of the rest was written. Repeating an
// fsync is not: after one failed, the kernel may have dropped the pages and call
// the next one a success. What was written to the log and the manifest since the
// last fsync is therefore kept, and written again before the fsync is repeated.

// diskTrouble reports whether an error says that the disk does not take writes now.
func diskTrouble(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO)
}

// patientFS is a file system whose writes wait for the disk.
type patientFS struct {
	vfs.FS
	// report is told the reason while at least one operation waits, and "" when none does.
	report func(reason string)
	every  time.Duration

	mu      sync.Mutex
	waiting int
}

// Unwrap gives the file system below, which Pebble looks for.
func (fs *patientFS) Unwrap() vfs.FS { return fs.FS }

// do runs an operation until it does not fail because of the disk.
func (fs *patientFS) do(what string, op func() error) error {
	err := op()
	if !diskTrouble(err) {
		return err
	}
	fs.mu.Lock()
	fs.waiting++
	fs.mu.Unlock()
	for diskTrouble(err) {
		fs.report("definitions: " + what + ": " + err.Error())
		time.Sleep(fs.every)
		err = op()
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.waiting--; fs.waiting == 0 {
		fs.report("")
	}
	return err
}

// create opens a file for writing.
func (fs *patientFS) create(name string, open func() (vfs.File, error)) (f vfs.File, err error) {
	base := filepath.Base(name)
	err = fs.do("create "+base, func() (err error) { f, err = open(); return err })
	if err != nil {
		return nil, err
	}
	p := &patientFile{File: f, fs: fs, base: base}
	p.keep = strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST-")
	return p, nil
}

// Create implements [vfs.FS].
func (fs *patientFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.create(name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

// OpenReadWrite implements [vfs.FS].
func (fs *patientFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.create(name, func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite implements [vfs.FS]. A file that was written before is not used
// again, since what is kept of a file has to be all that is new in it.
func (fs *patientFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Remove(oldname); err != nil {
		return nil, err
	}
	return fs.Create(newname, c)
}

// OpenDir implements [vfs.FS].
func (fs *patientFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &patientFile{File: f, fs: fs, base: filepath.Base(name)}, nil
}

// Link implements [vfs.FS].
func (fs *patientFS) Link(oldname, newname string) error {
	return fs.do("link "+filepath.Base(newname), func() error { return fs.FS.Link(oldname, newname) })
}

// Rename implements [vfs.FS].
func (fs *patientFS) Rename(oldname, newname string) error {
	return fs.do("rename "+filepath.Base(oldname), func() error { return fs.FS.Rename(oldname, newname) })
}

// Remove implements [vfs.FS].
func (fs *patientFS) Remove(name string) error {
	return fs.do("remove "+filepath.Base(name), func() error { return fs.FS.Remove(name) })
}

// MkdirAll implements [vfs.FS].
func (fs *patientFS) MkdirAll(dir string, perm os.FileMode) error {
	return fs.do("create "+filepath.Base(dir), func() error { return fs.FS.MkdirAll(dir, perm) })
}

// patientFile is a file whose writes wait for the disk. Like any file that
// Pebble writes, it is written by one goroutine and from its start to its end.
type patientFile struct {
	vfs.File
	fs   *patientFS
	base string
	// keep says that what is not synced is kept to be written again.
	keep bool

	mu       sync.Mutex // a log is synced by another goroutine than the one that closes it
	unsynced []byte
	written  int64
}

// Fd hides the descriptor: Pebble would sync ranges of the file past this type.
func (f *patientFile) Fd() uintptr { return vfs.InvalidFd }

// Write implements [vfs.File].
func (f *patientFile) Write(b []byte) (int, error) {
	done := 0
	err := f.fs.do("write "+f.base, func() error {
		n, err := f.File.Write(b[done:])
		done += max(n, 0)
		if err == nil && done < len(b) {
			return io.ErrShortWrite
		}
		return err
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written += int64(done)
	if f.keep {
		f.unsynced = append(f.unsynced, b[:done]...)
	}
	return done, err
}

// Preallocate implements [vfs.File]. It does nothing: it only saves time, and
// only where it does not fail.
func (f *patientFile) Preallocate(int64, int64) error { return nil }

// Sync implements [vfs.File].
func (f *patientFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements [vfs.File].
func (f *patientFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements [vfs.File]. Nothing is promised, so nothing is done for
// files whose content is kept.
func (f *patientFile) SyncTo(length int64) (bool, error) {
	if f.keep {
		return false, nil
	}
	full, err := f.File.SyncTo(length)
	if diskTrouble(err) {
		time.Sleep(f.fs.every) // Pebble starts over at once
	}
	return full, err
}

// sync makes what was written durable.
func (f *patientFile) sync(sync func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := false
	err := f.fs.do("sync "+f.base, func() error {
		if failed && f.keep {
			if err := f.rewrite(); err != nil {
				return err
			}
		}
		err := sync()
		failed = failed || err != nil
		if err != nil && !f.keep && !isDir(f.File) {
			return &lostError{err} // the file has to be written anew
		}
		return err
	})
	if lost, ok := errors.AsType[*lostError](err); ok {
		time.Sleep(f.fs.every) // Pebble starts over at once
		return lost.err
	}
	if err == nil {
		f.unsynced = f.unsynced[:0]
		if cap(f.unsynced) > 1<<20 {
			f.unsynced = nil
		}
	}
	return err
}

// rewrite writes again what the failed fsync may have lost.
func (f *patientFile) rewrite() error {
	fd, ok := f.File.(interface{ Fd() uintptr })
	if !ok || fd.Fd() == vfs.InvalidFd {
		return nil // not a file of the kernel
	}
	at := f.written - int64(len(f.unsynced))
	for b := f.unsynced; len(b) > 0; {
		n, err := unix.Pwrite(int(fd.Fd()), b, at) //nolint:gosec // a descriptor
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// isDir reports whether a file is a directory, whose fsync can be repeated:
// file systems keep names they could not write.
func isDir(f vfs.File) bool {
	info, err := f.Stat()
	return err == nil && info.IsDir()
}

// lostError is a failed fsync of a file that is not kept.
type lostError struct{ err error }

// Error implements error.
func (e *lostError) Error() string { return e.err.Error() }

// await runs a write to Pebble and waits for it, for the context to end, or for
// Pebble to be found waiting for the disk when that is a reason to stop. The
// write goes on in the last two cases; Pebble is not closed before it ends. The
// caller keeps the store open.
func (s *Store) await(ctx context.Context, stop func() bool, write func() (bool, error)) (bool, error) {
	done := make(chan outcome, 1)
	s.writes.Go(func() {
		ok, err := write()
		done <- outcome{ok, err}
	})
	return s.awaitDone(ctx, stop, done)
}

// outcome is what a write to Pebble returned.
type outcome struct {
	ok  bool
	err error
}

// awaitDone waits for an outcome as await does.
func (s *Store) awaitDone(ctx context.Context, stop func() bool, done <-chan outcome) (bool, error) {
	tick := time.NewTicker(s.cfg.checkEvery)
	defer tick.Stop()
	for {
		select {
		case o := <-done:
			return o.ok, o.err
		case <-ctx.Done():
			return false, ctx.Err()
		case <-tick.C:
			if reason := s.guard.cause(causeMeta); reason != "" && stop() {
				return false, readOnly(reason)
			}
		}
	}
}

// commitList makes a change of the list of blocks durable. When it stops waiting
// the change may be made all the same: files are then in the list or not, and
// the next start finds out.
func (s *Store) commitList(ctx context.Context, stop func() bool, b *pebble.Batch) error {
	_, err := s.await(ctx, stop, func() (bool, error) { return true, errors.Join(b.Commit(pebble.Sync), b.Close()) })
	return err
}

// always is a reason to stop waiting for the disk.
func always() bool { return true }
