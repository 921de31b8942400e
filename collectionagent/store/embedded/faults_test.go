// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

var errFault = errors.New("fault")

// faultyFiles fails one operation on files, the one whose turn it is.
type faultyFiles struct {
	fileOps
	step  string
	after int // operations of the kind that still work
	hit   bool
}

// fail reports whether an operation is the one that fails.
func (f *faultyFiles) fail(step string) bool {
	if f.step != step || f.hit {
		return false
	}
	f.after--
	f.hit = f.after < 0
	return f.hit
}

// in returns a configuration with the fault in it.
func (f *faultyFiles) in(cfg Config) Config {
	cfg.files = f.ops()
	cfg.beforeCommit = func() error {
		if f.fail("commit") {
			return errFault
		}
		return nil
	}
	return cfg
}

// ops returns the operations with the fault in them.
func (f *faultyFiles) ops() fileOps {
	return fileOps{
		create: func(path string) (blockOutput, error) {
			if f.fail("create") {
				return nil, errFault
			}
			out, err := f.create(path)
			return &faultyOutput{out, f}, err
		},
		rename: func(from, to string) error {
			if f.fail("rename") {
				return errFault
			}
			return f.rename(from, to)
		},
		remove: func(path string) error {
			if f.fail("remove") {
				return errFault
			}
			return f.remove(path)
		},
		syncDir: func(dir string) error {
			if f.fail("sync directory") {
				return errFault
			}
			return f.syncDir(dir)
		},
	}
}

type faultyOutput struct {
	blockOutput
	files *faultyFiles
}

func (o *faultyOutput) Write(b []byte) (int, error) {
	if o.files.fail("write") {
		n, _ := o.blockOutput.Write(b[:len(b)/2])
		return n, errFault
	}
	return o.blockOutput.Write(b)
}

func (o *faultyOutput) Sync() error {
	if o.files.fail("sync") {
		return errFault
	}
	return o.blockOutput.Sync()
}

func (o *faultyOutput) Close() error {
	err := o.blockOutput.Close()
	if o.files.fail("close") {
		return errFault
	}
	return err
}

// TestDeleteLeavesFile deletes while files cannot be removed: it does not say that all is
// gone, and the next start removes them.
func TestDeleteLeavesFile(t *testing.T) {
	for _, times := range []int{1, 1 << 20} {
		cfg := Config{Dir: t.TempDir(), compaction: calm}
		broken := cfg
		broken.files = localFiles()
		broken.files.remove = func(path string) error {
			if times--; times >= 0 {
				return errFault
			}
			return os.Remove(path)
		}
		s := openTest(t, broken)
		mustAppend(t, s, mixedBatch(1, "default", 100))
		once := times == 1
		n, err := s.Delete(t.Context(), &store.Deletion{Project: "default", To: math.MaxInt64})
		if n != 100 || (err == nil) != once || (err != nil && !errors.Is(err, errFault)) {
			t.Errorf("removed %d, error %v", n, err)
		}
		if once {
			checkFiles(t, s)
		}
		s = cut(t, cfg, s)
		checkFiles(t, s)
	}
}

// TestFlushFaults makes each step of the writing of a head fail: it is tried again, and
// what was written before does not stay beside it.
func TestFlushFaults(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "close", "rename", "sync directory"} {
		faulty := &faultyFiles{fileOps: localFiles(), step: step}
		s := openTest(t, Config{Dir: t.TempDir(), compaction: calm, files: faulty.ops()})
		mustAppend(t, s, mixedBatch(1, "default", 100))
		if err := s.flushHead(t.Context()); err != nil || !faulty.hit {
			t.Errorf("%s: hit %v, error %v", step, faulty.hit, err)
		}
		checkFiles(t, s)
	}
}

// TestFaults makes each step of a merge fail: no answer changes, neither then nor
// after the next start, nothing is left lying around, and the next attempt works.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir, compaction: calm})
	for seq := uint64(1); seq <= 3; seq++ {
		mustAppend(t, s, mixedBatch(seq, "default", often(200)))
		if err := s.flushHead(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"create", "write", "sync", "close", "rename", "sync directory", "commit", "remove"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			for _, after := range []int{0, 2, 7}[:often(3)] {
				cfg := Config{Dir: crash(t, dir), compaction: calm}
				faulty := &faultyFiles{fileOps: localFiles(), step: step, after: after}
				s := openTest(t, faulty.in(cfg))
				before := answers(t, s)
				err := s.Maintain(t.Context())
				if after == 0 && !faulty.hit {
					t.Fatal("nothing failed")
				}
				if faulty.hit && step != "remove" && !errors.Is(err, errFault) {
					t.Fatalf("after %d: error %v", after, err)
				}
				if step != "remove" {
					checkFiles(t, s)
				}
				check := func(s *Store) {
					t.Helper()
					if d := difference(before, answers(t, s)); d != "" {
						t.Fatalf("after %d, answers changed:\n%s", after, d)
					}
				}
				check(s)
				s = cut(t, cfg, s)
				checkFiles(t, s)
				check(s)
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				check(s)
				checkFiles(t, s)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
