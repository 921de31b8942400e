// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// mustMatch returns a matcher.
func mustMatch(t *testing.T, name string, op store.MatchOp, value string) *store.Matcher {
	t.Helper()
	m, err := store.NewMatcher(name, op, value)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameAnswers asks both a few queries.
func sameAnswers(t *testing.T, s, model store.Store) {
	t.Helper()
	for _, q := range []store.Query{
		{GroupBy: []string{"service", "comm"}, ByStack: true},
		{Step: time.Minute, GroupBy: []string{"host"}},
		{Step: time.Hour, GroupBy: []string{"service"}, ByStack: true},
		{},
	} {
		for _, q.Project = range []string{"default", "other"} {
			q.From, q.To = math.MinInt64, math.MaxInt64
			got, _ := selectRows(t, s, &q)
			want, _ := selectRows(t, model, &q)
			if d := difference(want, got); d != "" {
				t.Fatalf("%+v:\n%s", q, d)
			}
		}
	}
}

// testDeletions are of all kinds.
func testDeletions(t *testing.T) []*store.Deletion {
	t.Helper()
	const hour = libpf.UnixTimeNs(3600e9)
	return []*store.Deletion{
		{Project: "default", Matchers: []*store.Matcher{mustMatch(t, "service", store.MatchEqual, "web"), mustMatch(t, "comm", store.MatchEqual, "main")}},
		{Project: "other", From: mixedStart + hour, To: mixedStart + 2*hour + 12345},
		{Project: "default", Types: []libpf.SampleType{libpf.SampleOffCPU}, To: mixedStart + 3*hour},
		{Project: "default", Matchers: []*store.Matcher{mustMatch(t, "host", store.MatchRegexp, "a|b")}},
		{Project: "nobody"},
		{Project: "other"},
		{Project: "default", From: mixedStart},
	}
}

// TestDeleteBlocks deletes from heads, flushed heads and merged blocks.
func TestDeleteBlocks(t *testing.T) {
	for _, settle := range []string{"merged", "head", "flushed"}[:often(3)] {
		t.Run(settle, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), compaction: calm}
			s, model := retained(t, cfg, 300)
			if settle == "merged" {
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for i, d := range testDeletions(t) {
				b := mixedBatch(uint64(i+10), "default", 500)
				if mustAppend(t, s, b) {
					t.Error("a new batch is a duplicate")
				}
				if _, err := model.Append(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if settle == "flushed" {
					if err := s.flushHead(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				want, _ := model.Delete(t.Context(), d)
				got, err := s.Delete(t.Context(), d)
				if err != nil || got != want {
					t.Fatalf("%+v: removed %d (error %v), want %d", d, got, err, want)
				}
				if segments, err := listSegments(s.walDir()); err != nil || len(segments) > 0 {
					t.Errorf("log segments %v (error %v)", segments, err)
				}
				checkFiles(t, s)
				sameAnswers(t, s, model)
				if again, err := s.Delete(t.Context(), d); err != nil || again != 0 {
					t.Errorf("removed %d more (error %v)", again, err)
				}
				if !mustAppend(t, s, b) {
					t.Error("a deleted batch is stored again")
				}
				if i%3 == 0 {
					s = cut(t, cfg, s)
					sameAnswers(t, s, model)
				}
			}
		})
	}
}

// TestDeleteSums deletes where only sums are left: by what they know, and whole hours.
func TestDeleteSums(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm}
	s, model := retained(t, cfg, 300)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, blocks, _ := s.readView()
	if err := s.dropSamples(t.Context(), blocks, false); err != nil {
		t.Fatal(err)
	}
	hours := &store.Query{Project: "default", From: math.MinInt64, To: math.MaxInt64, GroupBy: []string{"service", "host"}, Step: time.Hour, ByStack: true}
	same := func(what string) {
		t.Helper()
		got, _ := selectRows(t, s, hours)
		want, _ := selectRows(t, model, hours)
		if d := difference(want, got); d != "" {
			t.Errorf("%s:\n%s", what, d)
		}
		checkFiles(t, s)
	}
	same("before")
	if n, err := s.Delete(t.Context(), &store.Deletion{Project: "default", Matchers: []*store.Matcher{mustMatch(t, "comm", store.MatchEqual, "main")}}); n != 0 || err != nil {
		t.Errorf("removed %d sums that do not know the label (error %v)", n, err)
	}
	same("by a label that they do not know")
	x := newSelection(&store.Deletion{Project: "default", Matchers: []*store.Matcher{mustMatch(t, "comm", store.MatchEqual, "main")}})
	_, blocks, _ = s.readView()
	for _, b := range blocks {
		if some, _, err := x.findIn(s, b.finest()); some || err != nil {
			t.Errorf("some of block %d is to be removed (error %v)", b.info.Number, err)
		}
	}
	if x.kept == 0 {
		t.Error("nobody is told that sums stay")
	}
	first := mixedStart.Time().Truncate(time.Hour).Add(2 * time.Hour)
	ask := func(from, to time.Time) *store.Deletion {
		return &store.Deletion{
			Project: "default", Matchers: []*store.Matcher{mustMatch(t, "host", store.MatchEqual, "a")},
			From: libpf.UnixTimeNs(from.UnixNano()), To: libpf.UnixTimeNs(to.UnixNano()),
		}
	}
	if n, err := s.Delete(t.Context(), ask(first.Add(10*time.Minute), first.Add(20*time.Minute))); n == 0 || err != nil {
		t.Errorf("removed %d sums (error %v)", n, err)
	}
	if _, err := model.Delete(t.Context(), ask(first, first.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	same("an hour of a host")
	if n, err := s.Delete(t.Context(), &store.Deletion{Project: "default"}); n == 0 || err != nil {
		t.Errorf("removed %d sums (error %v)", n, err)
	}
	if _, err := model.Delete(t.Context(), &store.Deletion{Project: "default"}); err != nil {
		t.Fatal(err)
	}
	same("everything")
}

// TestDeleteForgetsHorizon deletes a project of which data were removed for want of room.
func TestDeleteForgetsHorizon(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm, retainEvery: time.Hour}
	s, _ := retained(t, cfg, 100)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.cfg.Retention.Bytes = 1
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.cfg.Retention.Bytes = 0
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "other"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for project, want := range map[string]bool{"default": true, "other": false} {
			if _, covered := selectRows(t, s, everythingOf(project)); (covered.Horizon != 0) != want {
				t.Errorf("%s: horizon %d", project, covered.Horizon)
			}
		}
		s = cut(t, cfg, s)
	}
}

// secret is what no file may hold after the project is gone.
const secret = "Zx9Qk3Vw7Rt1Yp5Lm8Nb"

// filesWith returns the files below a directory that hold a text. One that goes meanwhile does
// not: Pebble merges its tables and removes the old ones in the background.
func filesWith(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && bytes.Contains(b, []byte(text)) {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// secretData returns samples and definitions with the secret in all of their texts.
func secretData(seq uint64) (*store.Batch, *store.Definitions) {
	b := testBatch(seq, 50)
	b.ID.Project, b.ID.HostID = "shop", secret
	b.Series[0] = store.Series{Project: "shop", Type: libpf.SampleOnCPU, Service: secret, Host: secret, Labels: []libpf.Label{{Key: "k", Value: secret}}}
	frame := libpf.Frame{Type: libpf.PythonFrame, FunctionName: secret, AddressOrLineno: libpf.AddressOrLineno(seq)}
	return b, &store.Definitions{
		ID: store.BatchID{Project: "shop", HostID: secret, Type: store.BatchStacks, Sequence: seq}, Project: "shop",
		Stacks:      []store.Stack{{Hash: libpf.NewTraceHash(seq, 0), Frames: []libpf.Frame{frame}}},
		Symbols:     []store.Symbol{{Frame: libpf.FrameID{AddressOrLineno: libpf.AddressOrLineno(seq)}, Lines: []libpf.SourceLine{{Function: secret}}}},
		Executables: []libpf.Executable{{FileID: libpf.NewFileID(seq, 1), FileName: secret}},
		Hosts:       []store.Host{{ID: secret, Name: secret, Metadata: map[string]string{"k": secret}}},
		Metrics:     []store.MetricPoint{{HostID: secret, ID: 7, Value: 1}},
	}
}

// TestDeleteProject deletes a project with all that is known of it: nothing is left in
// any file, its batches are new again, and others are not touched.
func TestDeleteProject(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm}
	s := openTest(t, cfg)
	other := testBatch(1, 100)
	mustAppend(t, s, other)
	for seq := uint64(1); seq <= 6; seq++ {
		b, d := secretData(seq)
		mustAppend(t, s, b)
		if _, err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if seq == 3 {
			if err := s.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if seq == 4 { // into tables and more than one log of Pebble
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if names := filesWith(t, cfg.Dir, secret); len(names) < 2 {
		t.Fatalf("only %v hold the secret at first", names)
	}
	before := s.Forgotten()
	if n, err := s.Delete(t.Context(), &store.Deletion{Project: "shop"}); err != nil || n != 300 {
		t.Fatalf("removed %d (error %v)", n, err)
	}
	// The manifest tells which keys a table has held at most until it is written anew.
	names := filesWith(t, cfg.Dir, secret)
	for _, name := range names {
		if !strings.HasPrefix(filepath.Base(name), "MANIFEST") {
			t.Errorf("%s holds the secret", name)
		}
	}
	if s.Forgotten() == before {
		t.Error("nobody is told that definitions are gone")
	}
	for range 2 {
		if st, err := s.Stats(t.Context()); err != nil || st.Samples != 100 || st.Stacks+st.Symbols+st.Executables+st.Hosts != 0 {
			t.Errorf("%+v (error %v)", st, err)
		}
		if l, err := s.RunLedgers(t.Context(), "shop"); err != nil || len(l) > 0 {
			t.Errorf("ledgers %v (error %v)", l, err)
		}
		if !mustAppend(t, s, other) {
			t.Error("batch of another project is stored again")
		}
		s = cut(t, cfg, s)
	}
	b, d := secretData(1)
	if mustAppend(t, s, b) {
		t.Error("batch of a deleted project is a duplicate")
	}
	if duplicate, err := s.Put(t.Context(), d); duplicate || err != nil {
		t.Errorf("definitions of a deleted project are a duplicate (error %v)", err)
	}
}

// TestDeleteFaults makes each step of a deletion fail: what is left is a mix of what was
// there and what was to be, and the next call does the rest.
func TestDeleteFaults(t *testing.T) {
	for i, after := range []int{0, 3}[:often(2)] {
		dir := t.TempDir()
		s, model := retained(t, Config{Dir: dir, compaction: calm}, 300)
		if err := errors.Join(s.Maintain(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
		// What is not selected is there, whatever happens.
		d := testDeletions(t)[i]
		if _, err := model.Delete(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"create", "write", "sync", "close", "rename", "sync directory", "commit"} {
			t.Run(fmt.Sprint(step, after), func(t *testing.T) {
				t.Parallel()
				cfg := Config{Dir: crash(t, dir), compaction: calm}
				faulty := &faultyFiles{fileOps: localFiles(), step: step, after: after}
				s := openTest(t, faulty.in(cfg))
				if _, err := s.Delete(t.Context(), d); faulty.hit != errors.Is(err, errFault) {
					t.Fatalf("error %v, fault %v", err, faulty.hit)
				}
				checkFiles(t, s)
				crashed := cfg
				crashed.Dir = crash(t, cfg.Dir)
				for _, s := range []*Store{s, openTest(t, crashed)} {
					if _, err := s.Delete(t.Context(), d); err != nil {
						t.Fatal(err)
					}
					sameAnswers(t, s, model)
					checkFiles(t, s)
				}
			})
		}
	}
}

// TestDeleteConcurrently deletes a project again and again while samples of it and
// another one come and blocks are merged: each batch is there once or not at all.
func TestDeleteConcurrently(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), compaction: calm, HeadMaxBytes: 700 << 10}
	s := openTest(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	kept := 0
	var refused int
	for _, project := range []string{"default", "shop"} {
		wg.Go(func() {
			for seq := uint64(1); ctx.Err() == nil; seq++ {
				b := mixedBatch(seq, project, 200)
				for {
					_, err := s.Append(context.Background(), b)
					if err == nil {
						break
					}
					if !errors.Is(err, store.ErrBusy) {
						t.Errorf("append: %v", err)
						return
					}
					if project == "shop" {
						refused++
					}
					time.Sleep(time.Millisecond)
				}
				if duplicate, err := s.Append(context.Background(), b); project == "default" && (err != nil || !duplicate) {
					t.Errorf("repeat: %v, duplicate %v", err, duplicate)
				}
				if project == "default" {
					kept++
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := s.Maintain(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("maintain: %v", err)
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			n := 0
			q := &store.Query{Project: "default", To: math.MaxInt64}
			if err := s.Samples(ctx, q, func(*store.Sample, *store.Series) bool { n++; return true }); err == nil && n%200 != 0 {
				t.Errorf("%d samples are no whole batches", n)
			}
		}
	})
	for range 2 {
		time.Sleep(20 * time.Millisecond)
		if _, err := s.Delete(t.Context(), &store.Deletion{Project: "shop"}); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for project, want := range map[string]int{"default": 200 * kept, "shop": 0} {
			n := 0
			q := &store.Query{Project: project, To: math.MaxInt64}
			if err := s.Samples(t.Context(), q, func(*store.Sample, *store.Series) bool { n++; return true }); err != nil || n != want {
				t.Errorf("%s has %d samples instead of %d (error %v)", project, n, want, err)
			}
		}
		s = cut(t, cfg, s)
	}
	t.Logf("%d batches, %d refused", kept, refused)
}
