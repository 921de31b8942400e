// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
	"github.com/strobe-profiler/strobe/libpf"
)

// backup returns a backup of a store as an archive.
func backup(t *testing.T, s *Store) []byte {
	t.Helper()
	p, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.WriteBackup(t.Context(), &b, []Extra{{Path: "auth.json", Content: []byte("{}"), Mode: 0o600}}); err != nil {
		t.Fatal(err)
	}
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// findings verifies a directory.
func findings(t *testing.T, dir string, bucket objects.Bucket) (problems, remarks []string) {
	t.Helper()
	v, err := VerifyDir(t.Context(), dir, bucket, func(f *Finding) {
		if f.Problem {
			problems = append(problems, f.Path+": "+f.What)
		} else {
			remarks = append(remarks, f.Path+": "+f.What)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Problems != len(problems) {
		t.Errorf("%d problems were counted, %d reported", v.Problems, len(problems))
	}
	return problems, remarks
}

// filledStore has blocks of all levels, on the disk and in a bucket if there is
// one, samples in the log, and definitions.
func filledStore(t *testing.T, dir string, b objects.Bucket) *Store {
	t.Helper()
	cfg := Config{Dir: dir}
	if b != nil {
		cfg = remoteConfig(dir, b)
	}
	s := openTest(t, cfg)
	for seq := uint64(1); seq <= 3; seq++ {
		mustAppend(t, s, mixedBatch(seq, "default", 2000))
		mustAppend(t, s, mixedBatch(seq, "other", 500))
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, mixedBatch(4, "default", 700))
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, mixedBatch(5, "default", 300))
	for seq := range uint64(20) {
		st := diskStack(seq)
		d := &store.Definitions{
			ID:      store.BatchID{Project: "default", HostID: "h", Type: store.BatchStacks, Sequence: seq + 1},
			Project: "default", Stacks: []store.Stack{st}, Hosts: []store.Host{{ID: "h", Name: "host"}},
		}
		if _, err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestBackup restores a backup of a running store, from an archive and from a
// directory: it answers the same, and goes on exactly once.
func TestBackup(t *testing.T) {
	for name, bucket := range map[string]objects.Bucket{"disk": nil, "objects": objects.NewDir(t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			s := filledStore(t, t.TempDir(), bucket)
			_, blocks, _ := s.readView()
			if remote := slices.ContainsFunc(blocks, func(b *block) bool { return b.info.Remote }); remote != (bucket != nil) {
				t.Fatalf("blocks are in object storage: %v", remote)
			}
			archive := backup(t, s)
			want := answers(t, s)
			ledgers, err := s.RunLedgers(t.Context(), "default")
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, s, mixedBatch(6, "default", 100)) // is not in it
			unpacked := filepath.Join(t.TempDir(), "backup")
			if _, err := Unpack(t.Context(), bytes.NewReader(archive), unpacked); err != nil {
				t.Fatal(err)
			}
			if problems, _ := findings(t, unpacked, nil); name == "disk" && len(problems) > 0 {
				t.Errorf("backup has problems: %q", problems)
			}
			for _, dir := range []string{filepath.Join(t.TempDir(), "a"), t.TempDir()} {
				if strings.HasSuffix(dir, "a") {
					_, err = Restore(t.Context(), "", bytes.NewReader(archive), dir)
				} else {
					_, err = Restore(t.Context(), unpacked, nil, dir)
				}
				if err != nil {
					t.Fatal(err)
				}
				if problems, remarks := findings(t, dir, nil); len(problems)+len(remarks) > 0 {
					t.Errorf("restored: problems %q, remarks %q", problems, remarks)
				}
				again := openTest(t, Config{Dir: dir})
				if d := difference(want, answers(t, again)); d != "" {
					t.Errorf("answers (-original +restored):\n%s", d)
				}
				if again.Epoch() == s.Epoch() {
					t.Error("a restored store has the epoch of the original: agents would not send what is newer than the backup")
				}
				for seq := uint64(1); seq <= 5; seq++ {
					if !mustAppend(t, again, mixedBatch(seq, "default", 1)) {
						t.Errorf("batch %d is new", seq)
					}
				}
				got, err := again.RunLedgers(t.Context(), "default")
				if err != nil || len(got) != len(ledgers) || got[0].Stored != ledgers[0].Stored || got[0].RunID != ledgers[0].RunID {
					t.Errorf("ledgers %+v instead of %+v, %v", got, ledgers, err)
				}
				if mustAppend(t, again, mixedBatch(6, "default", 100)) {
					t.Error("a batch that is not in the backup is a repeat")
				}
				if d := difference(answers(t, s), answers(t, again)); d != "" {
					t.Errorf("answers after the next batch (-original +restored):\n%s", d)
				}
				hash := diskStack(3).Hash
				if found, err := again.Stacks(t.Context(), "default", []libpf.TraceHash{hash}); err != nil || len(found) != 1 {
					t.Errorf("stack: %v, %v", found, err)
				}
				if b, err := os.ReadFile(filepath.Join(dir, "auth.json")); err != nil || string(b) != "{}" {
					t.Errorf("auth.json has %q, %v", b, err)
				}
				if _, err := Restore(t.Context(), unpacked, nil, dir); !errors.Is(err, ErrNotEmpty) {
					t.Errorf("restore into a store: %v", err)
				}
			}
			if left, err := os.ReadDir(filepath.Join(s.cfg.Dir, snapshotsDir)); err != nil || len(left) > 0 {
				t.Errorf("snapshots left: %v, %v", left, err)
			}
		})
	}
}

// TestBackupWhileWriting makes backups while writers write and blocks are merged:
// each has everything that was acknowledged before it, and every batch whole.
func TestBackupWhileWriting(t *testing.T) {
	s := openTest(t, Config{Dir: t.TempDir(), HeadMaxBytes: 700 << 10, SegmentBytes: 64 << 10, compaction: busy})
	var acked atomic.Uint64
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint64(1); ctx.Err() == nil; seq++ {
			if _, err := s.Append(t.Context(), testBatch(seq, 100)); err != nil {
				t.Errorf("append: %v", err)
				return
			}
			acked.Store(seq)
			if seq%100 == 0 {
				if err := s.flushHead(t.Context()); err != nil {
					t.Errorf("write head: %v", err)
				}
			}
		}
	})
	eventually(t, "some batches are there", func() bool { return acked.Load() > 20 })
	for range 4 {
		least := acked.Load()
		archive := backup(t, s)
		dir := filepath.Join(t.TempDir(), "restored")
		if _, err := Restore(t.Context(), "", bytes.NewReader(archive), dir); err != nil {
			t.Fatal(err)
		}
		if problems, _ := findings(t, dir, nil); len(problems) > 0 {
			t.Errorf("problems: %q", problems)
		}
		again := openTest(t, Config{Dir: dir})
		n := uint64(0)
		for seq := uint64(1); ; seq++ {
			here, err := again.Applied(t.Context(), testBatch(seq, 0).ID)
			if err != nil {
				t.Fatal(err)
			}
			if !here {
				break
			}
			n = seq
		}
		if n < least {
			t.Errorf("%d batches are in the backup, %d were acknowledged before", n, least)
		}
		rows := uint64(0)
		if err := again.Samples(t.Context(), everythingOf("default"), func(*store.Sample, *store.Series) bool { rows++; return true }); err != nil {
			t.Fatal(err)
		}
		if rows != 100*n {
			t.Errorf("%d samples of %d batches", rows, n)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
}

// TestDamagedBackup restores nothing from an archive that was cut short or changed.
func TestDamagedBackup(t *testing.T) {
	archive := backup(t, filledStore(t, t.TempDir(), nil))
	for at := 0; at < len(archive); at += len(archive)/often(24) + 1 {
		dir := filepath.Join(t.TempDir(), "d")
		if _, err := Restore(t.Context(), "", bytes.NewReader(archive[:at]), dir); err == nil {
			t.Errorf("restored from %d bytes of %d", at, len(archive))
		}
		damaged := bytes.Clone(archive)
		damaged[at] ^= 0x10
		dir = filepath.Join(t.TempDir(), "d")
		_, err := Restore(t.Context(), "", bytes.NewReader(damaged), dir)
		if err == nil {
			continue // of a header that means nothing
		}
		if s, err := Open(Config{Dir: dir}); err == nil {
			_ = s.Close()
			if entries, _ := os.ReadDir(filepath.Join(dir, "blocks")); len(entries) > 0 {
				t.Errorf("byte %d: the rest of a failed restore can be opened", at)
			}
		}
	}
}

// TestVerify damages each kind of file and finds all of it.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	s := filledStore(t, dir, nil)
	copied := crash(t, dir) // with its log
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if problems, _ := findings(t, copied, nil); len(problems) > 0 {
		t.Fatalf("intact store: %q", problems)
	}
	var files []string
	for _, pattern := range []string{"blocks/*.parquet", "wal/*.wal", "meta/*.sst"} {
		found, err := filepath.Glob(filepath.Join(copied, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	kinds := map[string]int{}
	for _, path := range files {
		kinds[filepath.Ext(path)]++
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 100 {
			continue
		}
		write := func(b []byte) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		damaged := slices.Clone(data)
		damaged[len(data)/3] ^= 4
		write(damaged)
		problems, remarks := findings(t, copied, nil)
		if filepath.Ext(path) == ".wal" { // nobody knows whether the last record was acknowledged
			problems = append(problems, remarks...)
		}
		if len(problems) == 0 {
			t.Errorf("%s is damaged, and nothing is found", filepath.Base(path))
		}
		write(data)
	}
	if kinds[".parquet"] < 3 || kinds[".wal"] == 0 {
		t.Errorf("only %v were looked at", kinds)
	}
	block := files[0]
	if err := os.Rename(block, block+".away"); err != nil {
		t.Fatal(err)
	}
	problems, remarks := findings(t, copied, nil)
	if len(problems) == 0 || len(remarks) != 1 {
		t.Errorf("missing block: problems %q, remarks %q", problems, remarks)
	}
}

// TestVerifyRunning verifies, and inspects, a store that is open.
func TestVerifyRunning(t *testing.T) {
	s := filledStore(t, t.TempDir(), objects.NewDir(t.TempDir()))
	v, err := s.Verify(t.Context(), func(f *Finding) { t.Errorf("found %+v", *f) })
	if err != nil || v.Blocks == 0 || v.Batches != 1 || v.Rows == 0 || v.WithoutSums != 0 {
		t.Errorf("verified %+v, %v", v, err)
	}
	i, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	places := map[string]int{}
	for _, b := range i.Blocks {
		rows += b.Rows
		places[b.Where]++
		if b.Series == 0 || !b.Checksums || b.From.IsZero() {
			t.Errorf("block %+v", b)
		}
	}
	if rows != v.Rows || i.Totals.Rows != rows || places["disk"] == 0 || places["objects"] == 0 || i.Windows.Samples == 0 {
		t.Errorf("%d rows, verified %d; %v; windows %+v", rows, v.Rows, places, i.Windows)
	}
	if _, err := VerifyDir(t.Context(), s.cfg.Dir, nil, func(*Finding) {}); !errors.Is(err, ErrLocked) {
		t.Errorf("verified under a running server: %v", err)
	}
	if _, err := InspectDir(t.Context(), t.TempDir()); err == nil {
		t.Error("inspected an empty directory")
	}
}
