// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A Section is the blocks of sh below one heading, and above the next. It is
// safe for concurrent use.
type Section struct {
	t      testing.TB
	blocks []Block
	mu     sync.Mutex
	ran    []bool
}

// Open returns the section with this heading of a file that is named from the
// root of the repository. It fails the test if there is no such section, if
// there is more than one, or if it has no block of sh; and when the test ends,
// for each block that was not run. File and heading must be literals, by which
// the test of this package finds the call.
func Open(t testing.TB, file, heading string) *Section {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(Root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := Parse(file, src)
	if err != nil {
		t.Fatal(err)
	}
	s := &Section{t: t}
	for _, b := range blocks {
		if b.Section == heading && b.Lang == "sh" {
			s.blocks = append(s.blocks, b)
		}
	}
	if len(s.blocks) == 0 {
		t.Fatalf("%s: no block of sh below the heading %q", file, heading)
	}
	s.init()
	t.Cleanup(s.check)
	return s
}

func (s *Section) init() {
	s.ran = make([]bool, len(s.blocks))
	for i := range s.blocks {
		s.blocks[i].section = s
	}
}

func (s *Section) check() {
	if s.t.Failed() || s.t.Skipped() {
		return
	}
	for i := range s.blocks {
		if !s.ran[i] {
			s.t.Errorf("%s: the test opens this section and does not run this block", s.blocks[i].Pos())
		}
	}
}

// Len is the number of blocks.
func (s *Section) Len() int { return len(s.blocks) }

// Block returns the block with this number, from 0, and fails the test if there
// is none. A test that runs a block other than by a Shell calls Ran for it.
func (s *Section) Block(i int) *Block {
	s.t.Helper()
	if i < 0 || i >= len(s.blocks) {
		s.t.Fatalf("%s: section %q has %d blocks of sh; the test wants number %d",
			s.blocks[0].File, s.blocks[0].Section, len(s.blocks), i)
	}
	return &s.blocks[i]
}

// Ran says that a block of a section was run.
func (b *Block) Ran() {
	s := b.section
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.blocks {
		if &s.blocks[i] == b {
			s.ran[i] = true
		}
	}
}

// Root is the root of the repository that the test runs in.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		// Nested modules have a go.mod of their own, but no support folder.
		if exists(filepath.Join(at, "go.mod")) && exists(filepath.Join(at, "support", "doctest")) {
			return at
		}
		if at == filepath.Dir(at) {
			t.Fatalf("%s is not in the repository", dir)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
