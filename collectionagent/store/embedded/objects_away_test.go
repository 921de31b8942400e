// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// lockedBucket is a directory as object storage that can be made to be away, and tells of
// what is put.
type lockedBucket struct {
	*objects.Dir
	away atomic.Bool
	// put, unless it is nil, comes before an object is put.
	put func(name string)
}

func (b *lockedBucket) check() error {
	if b.away.Load() {
		return objects.ErrAway
	}
	return nil
}

func (b *lockedBucket) Put(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	if b.put != nil {
		b.put(name)
	}
	return errors.Join(b.check(), b.Dir.Put(ctx, name, r, size))
}

func (b *lockedBucket) ReadRange(ctx context.Context, name string, buf []byte, offset int64) error {
	if err := b.check(); err != nil {
		return err
	}
	return b.Dir.ReadRange(ctx, name, buf, offset)
}

func (b *lockedBucket) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return b.Dir.Get(ctx, name, limit)
}

// TestAwayIsNotDamaged goes through upkeep while object storage cannot be reached: what
// cannot be read now is neither given up nor set aside.
func TestAwayIsNotDamaged(t *testing.T) {
	bucket := &lockedBucket{Dir: objects.NewDir(t.TempDir())}
	cfg := remoteConfig(t.TempDir(), bucket)
	cfg.objectEvery, cfg.retainEvery, cfg.ObjectCacheBytes = time.Hour, time.Hour, 1
	cfg.compaction = calm
	cfg.compaction.gain, cfg.compaction.least = 1<<40, 1<<40 // no companions
	cfg.garbageGrace = time.Nanosecond
	s := openTest(t, cfg)
	mustAppend(t, s, mixedBatch(1, "default", 1000))
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	hours := &store.Query{Project: "default", From: math.MinInt64, To: math.MaxInt64, GroupBy: []string{"service"}, Step: time.Hour}
	before, _ := selectRows(t, s, hours)
	// The same windows again, which makes merges due, and the samples are too old by now.
	mustAppend(t, s, mixedBatch(1, "other", 1000))
	second := mixedBatch(2, "default", 1000)
	mustAppend(t, s, second)
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	bucket.away.Store(true)
	for range 3 {
		if err := s.compact(t.Context(), true); err != nil && !errors.Is(err, store.ErrAway) {
			t.Fatalf("merge: %v", err)
		}
	}
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		if b.aside.Load() {
			t.Errorf("%v is set aside", b.info.files())
		}
	}
	s.cfg.Retention.Samples = time.Hour
	if err := s.retain(t.Context()); !errors.Is(err, store.ErrAway) {
		t.Errorf("retention: %v", err)
	}
	if err := s.collectGarbage(t.Context()); !errors.Is(err, store.ErrAway) {
		t.Errorf("garbage: %v", err)
	}
	bucket.away.Store(false)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, _ := selectRows(t, s, hours)
	if len(before) == 0 || len(after) != len(before) {
		t.Fatalf("%d sums per hour instead of %d", len(after), len(before))
	}
	for i := range after {
		if after[i].Count <= before[i].Count {
			t.Errorf("%v: %d samples, there were %d before more came", after[i].Group, after[i].Count, before[i].Count)
		}
	}
}

// TestReplacedObjectIsRead replaces a block in object storage while a query reads it.
func TestReplacedObjectIsRead(t *testing.T) {
	bucket := &lockedBucket{Dir: objects.NewDir(t.TempDir())}
	cfg := remoteConfig(t.TempDir(), bucket)
	cfg.objectEvery, cfg.ObjectCacheBytes, cfg.compaction = time.Hour, 1, calm
	s := openTest(t, cfg)
	mustAppend(t, s, mixedBatch(1, "default", 3000))
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, replaced := 0, false
	err := s.Samples(t.Context(), everythingOf("default"), func(*store.Sample, *store.Series) bool {
		n++
		if !replaced {
			replaced = true
			unlock, err := s.lockUpkeep(t.Context())
			if err != nil {
				t.Error(err)
				return false
			}
			_, blocks, _ := s.readView()
			for _, b := range blocks {
				if _, err := s.rewrite(t.Context(), []*block{b}, b.sameTarget(), nil, nil); err != nil {
					t.Error(err)
				}
			}
			unlock()
			if err := s.offload(t.Context()); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if err != nil || n != 3000 {
		t.Errorf("%d samples, error %v", n, err)
	}
	if err := s.offload(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkObjects(t, s)
}

// TestDeleteDuringUpload deletes a block while its files are put into object storage: when
// the deletion returns they are not there.
func TestDeleteDuringUpload(t *testing.T) {
	var s *Store
	deleted := make(chan error, 1)
	bucket := &lockedBucket{Dir: objects.NewDir(t.TempDir())}
	cfg := remoteConfig(t.TempDir(), bucket)
	cfg.objectEvery, cfg.compaction = time.Hour, calm
	s = openTest(t, cfg)
	mustAppend(t, s, mixedBatch(1, "default", 1000))
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	_, blocks, _ := s.readView()
	n := 0
	bucket.put = func(string) {
		if n++; n != 2 {
			return
		}
		go func() {
			_, err := s.Delete(context.Background(), &store.Deletion{Project: "default"})
			deleted <- err
		}()
		eventually(t, "the blocks are off the list", func() bool {
			_, left, _ := s.readView()
			return len(left) == 0
		})
	}
	uploaded := make(chan error, 1)
	go func() { uploaded <- s.offload(context.Background()) }()
	if err := <-deleted; err != nil {
		t.Errorf("delete: %v", err)
	}
	checkObjects(t, s)
	if err := <-uploaded; err != nil {
		t.Errorf("upload: %v", err)
	}
	checkObjects(t, s)
	if len(blocks) == 0 {
		t.Error("there was nothing to delete")
	}
}

// TestYoungOrphan has an object that a crash left just before the start.
func TestYoungOrphan(t *testing.T) {
	bucket := objects.NewDir(t.TempDir())
	cfg := remoteConfig(t.TempDir(), bucket)
	cfg.objectEvery, cfg.objectGrace = time.Hour, 300*time.Millisecond
	s := openTest(t, cfg)
	orphan := s.remote.object("1-2-0000000077.parquet")
	if err := bucket.Put(t.Context(), orphan, strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes", func() bool {
		if err := s.offload(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := bucket.Get(t.Context(), orphan, 10)
		return errors.Is(err, objects.ErrNotFound)
	})
}
