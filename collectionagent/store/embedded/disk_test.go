// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/skip"
)

// mountTmpfs mounts a file system of the given size in memory.
func mountTmpfs(t *testing.T, bytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it mounts a tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		skip.Because(t, "cannot mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillDisk leaves so many bytes of a file system free and returns the file that takes the rest,
// which grows when it is there already.
func fillDisk(t *testing.T, dir string, leave int) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(b)
	}
	info, statErr := f.Stat()
	if statErr != nil {
		t.Fatal(statErr)
	}
	if err := f.Truncate(max(info.Size()-int64(leave), 0)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// diskStack returns a definition of about 1.5 KiB.
func diskStack(seq uint64) store.Stack {
	frames := []libpf.Frame{{
		Type: libpf.PythonFrame, AddressOrLineno: libpf.AddressOrLineno(seq),
		FunctionName: strings.Repeat(strconv.FormatUint(seq*0x9e3779b97f4a7c15, 16), 90),
	}}
	return store.Stack{Hash: libpf.HashTrace(frames), Frames: frames}
}

// diskWriters write samples and definitions until they are stopped, and
// remember what was acknowledged.
type diskWriters struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	next    atomic.Uint64
	mu      sync.Mutex
	batches []uint64
	stacks  []uint64
	refused int
	errs    []error
}

// start starts writers of samples and definitions.
func (w *diskWriters) start(s *Store) { w.startKinds(s, true) }

// startKinds starts writers of definitions, and of samples too if asked for.
func (w *diskWriters) startKinds(s *Store, samples bool) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	for range 4 {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				seq := w.next.Add(1)
				if samples {
					_, err := s.Append(context.Background(), testBatch(seq, 200)) // not cut off, so that the outcome is known
					w.note(ctx, err, &w.batches, seq)
				}
				d := &store.Definitions{ID: store.BatchID{Project: "default", HostID: "h", Type: store.BatchStacks, Sequence: seq}, Project: "default"}
				for i := range uint64(20) {
					d.Stacks = append(d.Stacks, diskStack(seq*20+i))
				}
				_, err := s.Put(context.Background(), d)
				w.note(ctx, err, &w.stacks, seq)
			}
		})
	}
}

// note remembers the outcome of a write.
func (w *diskWriters) note(ctx context.Context, err error, list *[]uint64, seq uint64) {
	refused := errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrBusy)
	if refused {
		time.Sleep(time.Millisecond) // leave the processor to the others
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		*list = append(*list, seq)
	case refused:
		w.refused++
	case ctx.Err() == nil:
		w.errs = append(w.errs, err)
	}
}

// waitMore waits until so many more batches and definitions were acknowledged, and refused.
func (w *diskWriters) waitMore(t *testing.T, batches, stacks, refused int) {
	t.Helper()
	counts := func() [3]int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return [...]int{len(w.batches), len(w.stacks), w.refused}
	}
	before := counts()
	eventually(t, fmt.Sprintf("%d more batches, %d definitions, %d refusals", batches, stacks, refused), func() bool {
		now := counts()
		return now[0] >= before[0]+batches && now[1] >= before[1]+stacks && now[2] >= before[2]+refused
	})
}

// waitFlushed waits until no block is being written.
func waitFlushed(t *testing.T, s *Store) {
	t.Helper()
	eventually(t, "block is written", func() bool {
		s.listMu.Lock() // held until the log of the block is removed too
		defer s.listMu.Unlock()
		heads, _, _ := s.readView()
		return len(heads) == 1
	})
}

func (w *diskWriters) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	w.wg.Wait()
	for _, err := range w.errs {
		t.Errorf("write: %v", err)
	}
}

// check compares the store with what was acknowledged.
func (w *diskWriters) check(t *testing.T, s *Store, when string) {
	t.Helper()
	got := stored(t, s)
	var total uint64
	for seq, n := range got {
		total += uint64(n)
		if n != 200 {
			t.Fatalf("%s: batch %d has %d samples", when, seq, n)
		}
	}
	for _, seq := range w.batches {
		if got[seq] != 200 {
			t.Fatalf("%s: acknowledged batch %d is not there", when, seq)
		}
	}
	if total == 0 && len(w.stacks) == 0 {
		return
	}
	ledgers, err := s.RunLedgers(t.Context(), "default")
	if err != nil || len(ledgers) != 1 || ledgers[0].Stored != total {
		t.Fatalf("%s: ledgers %+v (%v), %d samples are stored", when, ledgers, err, total)
	}
	for _, seq := range w.stacks {
		var hashes []libpf.TraceHash
		for i := range uint64(20) {
			hashes = append(hashes, diskStack(seq*20+i).Hash)
		}
		found, err := s.Stacks(t.Context(), "default", hashes)
		if err != nil || len(found) != len(hashes) {
			t.Fatalf("%s: %d of the acknowledged stacks of %d are there (error %v)", when, len(found), seq, err)
		}
	}
}

// diskConfig makes every part of the store write often, and lets it run into
// the full disk instead of stopping before.
func diskConfig(dir string) Config {
	return Config{Dir: dir, HeadMaxBytes: 512 << 10, SegmentBytes: 64 << 10, MinFreeBytes: 1, checkEvery: 10 * time.Millisecond}
}

// TestRealFullDisk fills a real file system under load, again and again.
func TestRealFullDisk(t *testing.T) {
	mount := mountTmpfs(t, 160<<20)
	cfg := diskConfig(filepath.Join(mount, "data"))
	s := openTest(t, cfg)
	var w diskWriters
	for round := range max(often(5), 2) {
		w.start(s)
		w.waitMore(t, 40, 40, 0)
		ballast := fillDisk(t, mount, round*10_000)
		var reason string // the last few bytes come and go
		eventually(t, "store becomes read-only", func() bool { reason = s.ReadOnly(); return reason != "" })
		w.waitMore(t, 0, 0, 20)
		t.Logf("round %d: %s", round, reason)
		if !strings.Contains(reason, "no space left") && !strings.Contains(reason, "free on the disk") {
			t.Errorf("reason: %s", reason)
		}
		_ = stored(t, s) // queries work
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		w.waitMore(t, 1, 1, 0)
		eventually(t, "store takes writes again", func() bool { return s.ReadOnly() == "" })
		w.stop(t)
		w.check(t, s, "with space again")
		if round%2 == 1 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openTest(t, cfg)
			w.check(t, s, "after a restart")
		}
	}
	t.Logf("%d batches and %d definitions acknowledged, %d refused", len(w.batches), len(w.stacks), w.refused)
	if w.refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestRealFullDiskClose closes the store while the disk is full: it ends, and
// nothing that was acknowledged is lost.
func TestRealFullDiskClose(t *testing.T) {
	mount := mountTmpfs(t, 64<<20)
	cfg := diskConfig(filepath.Join(mount, "data"))
	// Whatever finds the disk full first keeps the others from writing. Here that
	// has to be the definitions: free space is not looked at, and no samples are
	// being written when the disk becomes full.
	cfg.MinFreeBytes = -1
	s := openTest(t, cfg)
	var w diskWriters
	w.start(s)
	w.waitMore(t, 40, 40, 0)
	w.stop(t)
	waitFlushed(t, s)
	var ballast string
	for again := true; again; {
		w.startKinds(s, false)
		if ballast == "" {
			w.waitMore(t, 0, 20, 0)
		}
		ballast = fillDisk(t, mount, 0)
		eventually(t, "definitions wait for the disk", func() bool { return s.guard.has(causeMeta) })
		w.stop(t)
		// A merge of tables that had just been written when the disk became full removes those that
		// it was made of, and there is room once more.
		again = !s.guard.has(causeMeta)
	}
	if err := s.Close(); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "directory is free again", func() bool {
		var err error
		s, err = Open(cfg)
		return err == nil
	})
	w.check(t, s, "after a restart")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRealFullDiskOpen opens stores, one with data and a new one, on a disk
// without a free byte: that fails at once and says what to do. When there is room
// again all is as before.
func TestRealFullDiskOpen(t *testing.T) {
	mount := mountTmpfs(t, 64<<20)
	cfg, fresh := diskConfig(filepath.Join(mount, "data")), diskConfig(filepath.Join(mount, "new"))
	s := openTest(t, cfg)
	var w diskWriters
	w.start(s)
	w.waitMore(t, 40, 40, 0)
	w.stop(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ballast := fillDisk(t, mount, 0)
	for _, c := range []Config{cfg, fresh} {
		_, err := Open(c)
		if !errors.Is(err, store.ErrReadOnly) && !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("open: %v", err)
		}
		for _, part := range []string{c.Dir, "no space left on device", "free space on its disk"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error does not say %q: %v", part, err)
			}
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{fresh, cfg} {
		eventually(t, "directory is free again", func() bool {
			var err error
			s, err = Open(c)
			return err == nil
		})
		mustAppend(t, s, testBatch(w.next.Add(1), 200))
		if c.Dir == cfg.Dir {
			w.check(t, s, "after a restart with space")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeadDiskClose closes the store while its disk fails every write, and while
// somebody expires data and somebody writes: all of them come to an end.
func TestDeadDiskClose(t *testing.T) {
	fs := &faultyFS{FS: vfs.Default}
	cfg := diskConfig(t.TempDir())
	cfg.metaFS = fs
	s := openTest(t, cfg)
	fault := error(unix.EIO)
	fs.fail.Store(&fault)
	defer fs.fail.Store(nil) // what waits in the background ends
	expired := make(chan error, 1)
	go func() { expired <- s.Expire(context.Background(), 1_000_000_000) }()
	eventually(t, "expiry waits for the disk", func() bool { return s.guard.has(causeMeta) })
	if err := s.Close(); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
	if err := <-expired; !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("expire: %v", err)
	}
}

// diskLost says that a test left a store behind that waits for a disk which
// never comes back. Its goroutines are no leak.
var diskLost bool

// TestRealReadOnlyDisk makes a real file system read-only under load, the way
// the kernel does after an error on the device. Such a file system does not
// become writable before it was unmounted; until then the store serves what it has.
func TestRealReadOnlyDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it mounts a file system")
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			skip.Because(t, fmt.Sprintf("cannot make a file system that turns read-only: %s: %v: %s", name, err, out))
		}
		return strings.TrimSpace(string(out))
	}
	image, mount := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run("truncate", "-s", "96M", image)
	run("mkfs.ext4", "-q", image)
	run("mount", "-o", "loop,errors=remount-ro", image, mount)
	t.Cleanup(func() { _ = exec.Command("umount", "-l", mount).Run() })
	device := filepath.Base(run("findmnt", "-no", "SOURCE", mount))
	s := openTest(t, diskConfig(filepath.Join(mount, "data")))
	var w diskWriters
	w.start(s)
	w.waitMore(t, 40, 40, 0)
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", device, "trigger_fs_error"), []byte("test"), 0); err != nil {
		w.stop(t)
		skip.Because(t, "cannot make the file system read-only: "+err.Error())
	}
	diskLost = true
	eventually(t, "store becomes read-only", func() bool { return s.ReadOnly() != "" })
	// Which of the two depends on what was on its way when the kernel gave up.
	if reason := s.ReadOnly(); !strings.Contains(reason, "read-only file system") && !strings.Contains(reason, "input/output error") {
		t.Errorf("reason: %s", reason)
	}
	w.waitMore(t, 0, 0, 20)
	w.stop(t)
	w.check(t, s, "while the disk is read-only")
	t.Logf("%d batches and %d definitions acknowledged, %d refused", len(w.batches), len(w.stacks), w.refused)
	if err := s.Close(); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
}

// faultyFS fails writes and fsyncs of files, and drops what a failed fsync
// should have written, as a kernel may.
type faultyFS struct {
	vfs.FS
	fail atomic.Pointer[error]
}

func (fs *faultyFS) err() error {
	if e := fs.fail.Load(); e != nil {
		return *e
	}
	return nil
}

func (fs *faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.err(); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, c)
	return &faultyFile{File: f, fs: fs}, err
}

type faultyFile struct {
	vfs.File
	fs             *faultyFS
	size, synced   int64
	writes, losses int
}

func (f *faultyFile) Write(b []byte) (int, error) {
	f.writes++
	if err := f.fs.err(); err != nil && f.writes%2 == 0 {
		n, _ := f.File.Write(b[:len(b)/2])
		f.size += int64(n)
		return n, err
	}
	n, err := f.File.Write(b)
	f.size += int64(n)
	return n, err
}

func (f *faultyFile) SyncData() error { return f.Sync() }

func (f *faultyFile) Sync() error {
	if err := f.fs.err(); err != nil {
		if f.size > f.synced { // the pages are lost
			if _, e := unix.Pwrite(int(f.Fd()), make([]byte, f.size-f.synced), f.synced); e != nil {
				return e
			}
			f.losses++
		}
		return err
	}
	f.synced = f.size
	return f.File.Sync()
}

// TestFaultyDefinitionsDisk fails writes and fsyncs of Pebble's files under load.
func TestFaultyDefinitionsDisk(t *testing.T) {
	fs := &faultyFS{FS: vfs.Default}
	cfg := diskConfig(t.TempDir())
	cfg.metaFS = fs
	s := openTest(t, cfg)
	var w diskWriters
	for _, fault := range []error{unix.EROFS, unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EIO}[:often(5)] {
		w.start(s)
		w.waitMore(t, 20, 20, 0)
		fs.fail.Store(&fault)
		var reason string // every other write works, and takes it back for a moment
		eventually(t, "store becomes read-only", func() bool { reason = s.ReadOnly(); return reason != "" && s.guard.has(causeMeta) })
		if !strings.Contains(reason, fault.Error()) {
			t.Errorf("reason: %s", reason)
		}
		w.waitMore(t, 0, 0, 20)
		fs.fail.Store(nil)
		eventually(t, "store takes writes again", func() bool { return s.ReadOnly() == "" })
		w.waitMore(t, 20, 20, 0)
		w.stop(t)
		waitFlushed(t, s) // or the copy has the list from behind the copied blocks
		after := openTest(t, diskConfig(crash(t, cfg.Dir)))
		w.check(t, after, "after a crash")
	}
	t.Logf("%d batches and %d definitions acknowledged, %d refused", len(w.batches), len(w.stacks), w.refused)
}
