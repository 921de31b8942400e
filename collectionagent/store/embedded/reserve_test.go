// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// TestRealFullDiskReserve opens a store on a disk without a free byte: it answers, says
// why it takes nothing in, and goes on by itself when there is room; or makes it itself,
// where it may.
func TestRealFullDiskReserve(t *testing.T) {
	filled, want := "", int64(0) // a directory with samples, made once
	for _, retains := range []bool{false, true} {
		mount := mountTmpfs(t, 256<<20)
		cfg := diskConfig(filepath.Join(mount, "data"))
		cfg.MinFreeBytes, cfg.ReserveBytes, cfg.compaction, cfg.retainEvery = 34<<20, 32<<20, calm, 10*time.Millisecond
		if filled == "" {
			want = fillStore(t, cfg)
			filled = crash(t, cfg.Dir)
		} else if err := os.CopyFS(cfg.Dir, os.DirFS(filled)); err != nil {
			t.Fatal(err)
		}
		ballast := fillDisk(t, mount, 0)
		if retains {
			cfg.Retention.Bytes = 3 << 20
		}
		s := openTest(t, cfg) // more than once, as a supervisor may
		if !retains {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openTest(t, cfg)
			var got int64
			for _, n := range stored(t, s) {
				got += n
			}
			if got != want {
				t.Errorf("%d samples instead of %d", got, want)
			}
			if s.ReadOnly() == "" {
				t.Error("the store takes writes on a full disk")
			}
			if _, err := s.Append(t.Context(), testBatch(1<<20, 1)); err == nil {
				t.Error("a batch was acknowledged")
			}
		} else {
			eventually(t, "room is made", func() bool {
				used, err := s.usedBytes(true)
				return err == nil && used <= cfg.Retention.Bytes
			})
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the store takes writes again", func() bool { return s.ReadOnly() == "" })
		mustAppend(t, s, testBatch(1<<21, 1))
		eventually(t, "room is kept again", func() bool { _, err := os.Stat(s.reservePath()); return err == nil })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// fillStore opens a store, which keeps room in reserve, stores a lot in it, closes it, and
// returns the number of samples.
func fillStore(t *testing.T, cfg Config) (samples int64) {
	t.Helper()
	s := openTest(t, cfg)
	if _, err := os.Stat(s.reservePath()); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); samples < 2_000_000; seq++ {
		b := testBatch(seq, 50_000)
		var err error
		eventually(t, "a batch is taken", func() bool { // blocks are written more slowly than the log
			_, err = s.Append(t.Context(), b)
			return !errors.Is(err, store.ErrBusy)
		})
		if err != nil {
			t.Fatal(err)
		}
		samples += 50_000
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return samples
}

// TestReserveSize finds a reserve that a crash left without its size, or with the one that
// another configuration wanted.
func TestReserveSize(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), MinFreeBytes: -1, ReserveBytes: 1 << 20}
	for _, size := range []int{0, 1 << 10, 2 << 20} {
		if err := os.WriteFile(filepath.Join(cfg.Dir, "reserve"), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		s := openTest(t, cfg)
		if info, err := os.Stat(s.reservePath()); err != nil || info.Size() != cfg.ReserveBytes {
			t.Errorf("%d bytes at first: %v, error %v", size, info, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealFullDiskDelete deletes a project on a disk without a free byte.
func TestRealFullDiskDelete(t *testing.T) {
	mount := mountTmpfs(t, 256<<20)
	cfg := diskConfig(filepath.Join(mount, "data"))
	cfg.MinFreeBytes, cfg.ReserveBytes, cfg.compaction = 34<<20, 32<<20, calm
	// The store finds the disk full when it is: a reserve that it gives up while the last of the
	// disk is being filled would be filled as well, and nothing would be left to write with.
	var filling atomic.Bool
	cfg.freeBytes = func(dir string) (uint64, error) {
		if filling.Load() {
			return 256 << 20, nil
		}
		return freeBytes(dir)
	}
	s := openTest(t, cfg)
	for seq := uint64(1); seq <= 20; seq++ {
		mustAppend(t, s, testBatch(seq, 10_000))
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	filling.Store(true)
	fillDisk(t, mount, 0)
	filling.Store(false)
	if n, err := s.Delete(t.Context(), &store.Deletion{Project: "default"}); err != nil || n != 200_000 {
		t.Errorf("removed %d (error %v)", n, err)
	}
}
