// SPDX-License-Identifier: Apache-2.0

// Command fuzzcorpus takes a few inputs out of what a fuzzer found interesting and
// adds them to the corpus that is committed: the smallest ones that together reach
// code of the package which its seeds and its corpus do not.
//
//	fuzzcorpus -binary TESTS -dir PACKAGE -target FuzzName -from DIR
//
// TESTS is the package's tests, built with go test -c -cover.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of what is added for one target, so that the corpora of all stay small.
const (
	maxInputs     = 6
	maxInputBytes = 4 << 10
	maxTotalBytes = 8 << 10
	maxCandidates = 80
)

func main() {
	var c corpus
	flag.StringVar(&c.binary, "binary", "", "test `binary` built with -cover")
	flag.StringVar(&c.dir, "dir", "", "`directory` of the package")
	flag.StringVar(&c.target, "target", "", "`name` of the fuzz target")
	flag.StringVar(&c.from, "from", "", "`directory` with inputs that the fuzzer found")
	flag.Parse()
	added, err := c.run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "fuzzcorpus: %s %s: %v\n", c.dir, c.target, err)
		os.Exit(1)
	}
	fmt.Printf("%s.%s: %d inputs added\n", c.dir, c.target, added)
}

// corpus is that of one target.
type corpus struct{ binary, dir, target, from string }

// input is a candidate.
type input struct {
	name, path string
	size       int64
	reaches    map[string]bool
}

func (c *corpus) run() (added int, err error) {
	candidates, err := c.candidates()
	if err != nil || len(candidates) == 0 {
		return 0, err
	}
	work, err := os.MkdirTemp("", "fuzzcorpus")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := c.stage(work, candidates); err != nil {
		return 0, err
	}
	known, err := c.coverage(work, "(seed#.*|known_.*)")
	if err != nil {
		return 0, err
	}
	for i := range candidates {
		if candidates[i].reaches, err = c.coverage(work, candidates[i].name); err != nil {
			return added, err
		}
	}
	total := int64(0)
	for added < maxInputs {
		best, gain := -1, 0
		for i := range candidates {
			n := 0
			for block := range candidates[i].reaches {
				if !known[block] {
					n++
				}
			}
			// Candidates are sorted by size: of equal ones the smallest is taken.
			if n > gain && total+candidates[i].size <= maxTotalBytes {
				best, gain = i, n
			}
		}
		if best < 0 {
			return c.fallBack(candidates, added)
		}
		b := &candidates[best]
		for block := range b.reaches {
			known[block] = true
		}
		if err := copyFile(b.path, filepath.Join(c.dir, "testdata", "fuzz", c.target, b.name)); err != nil {
			return added, err
		}
		added++
		total += b.size
	}
	return added, nil
}

// fallBack adds two inputs for a target that has none: what the fuzzer found is in
// code of other packages then, which is not measured.
func (c *corpus) fallBack(candidates []input, added int) (int, error) {
	to := filepath.Join(c.dir, "testdata", "fuzz", c.target)
	if _, err := os.Stat(to); added > 0 || !errors.Is(err, fs.ErrNotExist) {
		return added, err
	}
	for _, i := range []int{len(candidates) / 2, len(candidates) - 1} {
		if err := copyFile(candidates[i].path, filepath.Join(to, candidates[i].name)); err != nil {
			return added, err
		}
		added++
	}
	return added, nil
}

// candidates returns the smallest inputs.
func (c *corpus) candidates() ([]input, error) {
	entries, err := os.ReadDir(c.from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []input
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Size() <= maxInputBytes {
			all = append(all, input{name: e.Name(), path: filepath.Join(c.from, e.Name()), size: info.Size()})
		}
	}
	slices.SortFunc(all, func(a, b input) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name)) })
	if step := len(all) / maxCandidates; step > 0 { // some of each size
		kept := all[:0]
		for i := 0; i < len(all); i += step + 1 {
			kept = append(kept, all[i])
		}
		all = kept
	}
	return all, nil
}

// stage makes a folder in which the tests find their files and the candidates.
func (c *corpus) stage(work string, candidates []input) error {
	corpus := filepath.Join(work, "testdata", "fuzz", c.target)
	if err := os.MkdirAll(corpus, 0o750); err != nil {
		return err
	}
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return err
	}
	for _, folder := range []string{"", "testdata"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if (folder == "" && e.Name() == "testdata") || (folder != "" && e.Name() == "fuzz") {
				continue
			}
			if err := os.Symlink(filepath.Join(dir, folder, e.Name()), filepath.Join(work, folder, e.Name())); err != nil {
				return err
			}
		}
	}
	committed, err := os.ReadDir(filepath.Join(dir, "testdata", "fuzz", c.target))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range committed {
		if err := copyFile(filepath.Join(dir, "testdata", "fuzz", c.target, e.Name()), filepath.Join(corpus, "known_"+e.Name())); err != nil {
			return err
		}
	}
	for i := range candidates {
		if err := copyFile(candidates[i].path, filepath.Join(corpus, candidates[i].name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644) //nolint:gosec // part of the sources
}

// coverage returns the blocks of code that the inputs of that name reach.
func (c *corpus) coverage(work, name string) (map[string]bool, error) {
	binary, err := filepath.Abs(c.binary)
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(work, "profile")
	command := exec.Command(binary, "-test.run", "^"+c.target+"$/^"+name+"$", "-test.coverprofile", profile)
	command.Dir = work
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run input %s: %w\n%s", name, err, out)
	}
	f, err := os.Open(profile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	blocks := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if block, ok := strings.CutSuffix(lines.Text(), " 1"); ok {
			blocks[block] = true
		}
	}
	return blocks, lines.Err()
}
