// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects/objectstest"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// remoteConfig is that of a store whose blocks go to a bucket, with a cache that
// holds next to nothing.
func remoteConfig(dir string, b objects.Bucket) Config {
	return Config{
		Dir: dir, HeadMaxBytes: 700 << 10, SegmentBytes: 8 << 10, MaxOpenBlocks: 2, objectEvery: 50 * time.Millisecond,
		Objects: &objects.Patient{Bucket: b, Attempts: 2, Pause: 10 * time.Millisecond}, ObjectCacheBytes: 2 * pieceBytes,
	}
}

// TestObjectConformance is the conformance suite on blocks in S3.
func TestObjectConformance(t *testing.T) {
	server := objectstest.Start(t)
	storetest.RunSeeds(t, func(t *testing.T, dir string) store.Store {
		// The name of the directory of each test is its own, and the same after a reopening.
		prefix := strings.NewReplacer("/", "-", " ", "-", "'", "").Replace(strings.TrimPrefix(dir, os.TempDir()))
		return openTest(t, remoteConfig(dir, server.Open(t, strings.Trim(prefix, "-"))))
	}, uint64(often(3)))
}

// remoteFiles returns the names of the files of blocks by where they are listed.
func remoteFiles(s *Store) (local, remote []string) {
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		if b.info.Remote {
			remote = append(remote, b.info.files()...)
		} else {
			local = append(local, b.info.files()...)
		}
	}
	return local, remote
}

// checkObjects checks that there are exactly the files and objects that are listed.
func checkObjects(t *testing.T, s *Store) (remote int) {
	t.Helper()
	local, there := remoteFiles(s)
	entries, err := os.ReadDir(s.blocksDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(local) {
		t.Errorf("%d files on the disk, %d are listed", len(entries), len(local))
	}
	want := make(map[string]bool)
	for _, name := range there {
		want[s.remote.object(name)] = true
	}
	got := make(map[string]bool)
	err = s.cfg.Objects.List(t.Context(), "blocks/", func(o objects.Object) error { got[o.Name] = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("objects (-listed +present):\n%s", d)
	}
	return len(there)
}

// TestObjects follows blocks to object storage and back out of it.
func TestObjects(t *testing.T) {
	bucket := objectstest.Start(t).Open(t, "p")
	dir := t.TempDir()
	cfg := remoteConfig(dir, bucket)
	cfg.objectGrace = time.Nanosecond
	s := openTest(t, cfg)
	for seq := range uint64(5) {
		mustAppend(t, s, mixedBatch(seq+1, "default", 3000))
	}
	before := answers(t, s)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := checkObjects(t, s); n == 0 {
		t.Fatal("nothing is in object storage")
	}
	if d := difference(before, answers(t, s)); d != "" {
		t.Errorf("answers changed (-disk +objects):\n%s", d)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Bytes["objects"] == 0 || st.Bytes["blocks"] != 0 {
		t.Errorf("bytes %v, %v", st.Bytes, err)
	}
	// What a crash left goes at the next start.
	orphan := s.remote.object("1-2-0000000077.parquet")
	if err := bucket.Put(t.Context(), orphan, strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	without := cfg
	without.Objects = nil
	if _, err := Open(without); !errors.Is(err, errNoObjects) {
		t.Errorf("opened without object storage: %v", err)
	}
	s = openTest(t, cfg)
	if err := s.offload(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkObjects(t, s)
	if n := counterOf(t, s.remote.orphan); n != 1 {
		t.Errorf("%v objects were orphans", n)
	}
	if d := difference(before, answers(t, s)); d != "" {
		t.Errorf("answers changed (-disk +reopened):\n%s", d)
	}
	// Another store must not use the prefix.
	if other, err := Open(remoteConfig(t.TempDir(), bucket)); !errors.Is(err, errForeign) {
		t.Errorf("a second store uses the prefix: %v", err)
		_ = other.Close()
	}
	// What is deleted leaves object storage before Delete returns.
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "default"}); err != nil {
		t.Fatal(err)
	}
	if _, there := remoteFiles(s); len(there) > 0 {
		t.Errorf("%v are still listed", there)
	}
	checkObjects(t, s)
}

// TestTakenOver runs two processes, so to speak, on copies of one data directory.
func TestTakenOver(t *testing.T) {
	bucket := objects.NewDir(t.TempDir())
	dir := t.TempDir()
	s := openTest(t, remoteConfig(dir, bucket))
	mustAppend(t, s, mixedBatch(1, "default", 100))
	later := openTest(t, remoteConfig(crash(t, dir), bucket))
	if err := later.Maintain(t.Context()); err != nil {
		t.Fatalf("the later one: %v", err)
	}
	s.remote.owner.claiming.Lock()
	s.remote.owner.checked = time.Time{}
	s.remote.owner.claiming.Unlock()
	if err := s.Maintain(t.Context()); !errors.Is(err, errTakenOver) {
		t.Fatalf("the earlier one: %v", err)
	}
	if local, remote := remoteFiles(s); len(local) == 0 || len(remote) > 0 {
		t.Errorf("the earlier one has %v on the disk and uploaded %v", local, remote)
	}
	if s.ObjectTrouble() == "" {
		t.Error("no trouble is stated")
	}
}

// TestObjectOutage goes on without object storage: samples are taken in, blocks
// wait, queries that need what is there fail and say why.
func TestObjectOutage(t *testing.T) {
	server := objectstest.Start(t)
	s := openTest(t, remoteConfig(t.TempDir(), server.Open(t, "p")))
	mustAppend(t, s, mixedBatch(1, "default", 3000))
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, uploaded := remoteFiles(s)
	server.Kill()
	mustAppend(t, s, mixedBatch(2, "default", 3000))
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatalf("write head: %v", err)
	}
	err := s.Samples(t.Context(), everythingOf("default"), func(*store.Sample, *store.Series) bool { return true })
	if !errors.Is(err, objects.ErrAway) {
		t.Errorf("query without object storage: %v", err)
	}
	s.remote.owner.claiming.Lock()
	s.remote.owner.checked = time.Time{} // or there is nothing to ask it for a minute
	s.remote.owner.claiming.Unlock()
	eventually(t, "trouble is stated", func() bool {
		_ = s.offload(t.Context())
		return s.ObjectTrouble() != ""
	})
	cfg := s.cfg
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	cfg.Registerer = nil
	s = openTest(t, cfg) // a start does not wait for it either
	mustAppend(t, s, mixedBatch(3, "default", 3000))
	server.Restart(t)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatalf("after the outage: %v", err)
	}
	if trouble := s.ObjectTrouble(); trouble != "" {
		t.Errorf("trouble %q", trouble)
	}
	if _, now := remoteFiles(s); len(now) < len(uploaded) {
		t.Errorf("%d files were in object storage, %d are now", len(uploaded), len(now))
	}
	checkObjects(t, s)
	n := 0
	err = s.Samples(t.Context(), everythingOf("default"), func(*store.Sample, *store.Series) bool { n++; return true })
	if err != nil || n != 9000 {
		t.Errorf("%d samples, %v", n, err)
	}
}

func everythingOf(project string) *store.Query {
	return &store.Query{Project: project, From: -1 << 62, To: 1 << 62}
}

// TestObjectKills kills the server again and again while blocks are uploaded,
// replaced and queried.
func TestObjectKills(t *testing.T) {
	server := objectstest.Start(t)
	s := openTest(t, remoteConfig(t.TempDir(), server.Open(t, "p")))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			n := 0
			err := s.Samples(ctx, everythingOf("default"), func(*store.Sample, *store.Series) bool { n++; return true })
			if err == nil && n%500 != 0 {
				t.Errorf("a query found %d samples", n)
			}
			if err != nil && !errors.Is(err, objects.ErrAway) && ctx.Err() == nil {
				t.Errorf("query: %v", err)
			}
		}
	})
	const batches = 24
	for seq := range uint64(batches) {
		mustAppend(t, s, mixedBatch(seq+1, "default", 500))
		if seq%3 == 2 {
			killed := make(chan struct{})
			time.AfterFunc(time.Duration(seq)*3*time.Millisecond, func() {
				server.Kill()
				close(killed)
			})
			_ = s.Maintain(ctx) // may fail, and is repeated
			<-killed            // to its end: a server that does not answer any more may not be waited for yet
			server.Restart(t)
		}
	}
	cancel()
	wg.Wait()
	eventually(t, "blocks are uploaded", func() bool { return s.Maintain(t.Context()) == nil })
	checkObjects(t, s)
	n := 0
	err := s.Samples(t.Context(), everythingOf("default"), func(*store.Sample, *store.Series) bool { n++; return true })
	if err != nil || n != batches*500 {
		t.Errorf("%d samples, %v", n, err)
	}
}

// envObjects says where the child of the crash test has object storage: the URL, a
// blank, and the file with the credentials.
const envObjects = "EMBEDDED_CRASH_OBJECTS"

// remoteCrash makes a store move blocks to object storage all the time.
func remoteCrash(cfg *Config, place string) {
	url, credentials, _ := strings.Cut(place, " ")
	if l, err := objects.ParseLocation(url); err == nil {
		cfg.Objects, _ = l.Open(credentials)
	}
	cfg.objectEvery, cfg.objectGrace, cfg.ObjectCacheBytes = 5*time.Millisecond, time.Nanosecond, 2*pieceBytes
}

// TestObjectCrash kills the store again and again while blocks are merged, uploaded,
// dropped and removed from object storage. No round ends before it has uploaded something.
func TestObjectCrash(t *testing.T) {
	server := objectstest.Start(t)
	t.Setenv(envMerging, "1")
	t.Setenv(envObjects, server.URL("crash")+" "+objectstest.Credentials(t))
	storetest.CrashAfter(t, 8, newObjects(t, server), func(t *testing.T, dir string) store.Store {
		s := openTest(t, stillConfig(dir))
		if err := s.offload(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkObjects(t, s)
		// The last kill may have come when all that was uploaded had been merged or
		// had expired, and the blocks instead of it were not yet due.
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if checkObjects(t, s) == 0 {
			t.Error("nothing is in object storage")
		}
		return s
	})
}

// newObjects returns a function that reports whether the server has got objects since it
// last did so.
func newObjects(t *testing.T, server *objectstest.Server) func() bool {
	known := make(map[string]bool)
	return func() (fresh bool) {
		err := filepath.WalkDir(filepath.Join(server.Dir, objectstest.Bucket), func(path string, _ fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed meanwhile
				return nil
			case err != nil:
				return err
			case filepath.Ext(path) == ".parquet" && !known[path]:
				known[path], fresh = true, true
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return fresh
	}
}
