// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/strobe-profiler/strobe/"

// rooms returns the rooms of docs/architecture.md, from the roof down; several
// packages in a row share a room.
func rooms(t *testing.T, root string) (number map[string]int) {
	t.Helper()
	number = map[string]int{}
	code := regexp.MustCompile("`([^`]+)`")
	for i, line := range section(t, root, "docs/architecture.md", "The house") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " | ")
		for _, m := range code.FindAllStringSubmatch(first, -1) {
			number[m[1]] = i
		}
	}
	return number
}

// section returns the lines below a heading.
func section(t *testing.T, root, file, heading string) []string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(src), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return strings.Split(rest, "\n")
}

// TestHouse holds docs/architecture.md and the packages to each other: each has
// its room, and imports only what is further down.
func TestHouse(t *testing.T) {
	t.Parallel()
	root := Root(t)
	number := rooms(t, root)
	if len(number) < 10 {
		t.Fatalf("only %d rooms in docs/architecture.md", len(number))
	}
	room := func(pkg string) string {
		for at := pkg; at != "."; at = filepath.Dir(at) {
			if _, ok := number[at]; ok {
				return at
			}
		}
		return ""
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = root
	list.Env = append(os.Environ(), "GOOS=linux")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	used := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(pkg.ImportPath, module)
		own := room(name)
		if own == "" {
			t.Errorf("package %s has no room in docs/architecture.md", name)
			continue
		}
		used[own] = true
		for _, path := range pkg.Imports {
			below, ok := strings.CutPrefix(path, module)
			if !ok {
				continue
			}
			if to := room(below); number[to] < number[own] {
				t.Errorf("package %s (room %s) imports %s (room %s), which docs/architecture.md has above it", name, own, below, to)
			}
		}
	}
	for name := range number {
		if !used[name] {
			t.Errorf("docs/architecture.md has the room %s, and there is no package in it", name)
		}
	}
}

// TestStations wants the functions of a sample's journey to be in their files.
func TestStations(t *testing.T) {
	t.Parallel()
	root := Root(t)
	code := regexp.MustCompile("`([^`]+)`")
	stations := 0
	for _, line := range section(t, root, "docs/architecture.md", "The journey of a sample") {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 || !strings.HasPrefix(cells[1], "`") {
			continue
		}
		file := strings.Trim(cells[1], "`")
		src, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Errorf("docs/architecture.md: %v", err)
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[2], -1) {
			stations++
			if !regexp.MustCompile(`(?m)^(func|static|STEP_FUNCTION).*\b` + m[1] + `(\[.*\])?\(`).Match(src) {
				t.Errorf("docs/architecture.md: %s has no function %s", file, m[1])
			}
		}
	}
	if stations < 20 {
		t.Errorf("only %d stations were found", stations)
	}
}

// TestPathsExist wants files and folders of the repository that a document
// names to be there.
func TestPathsExist(t *testing.T) {
	t.Parallel()
	root := Root(t)
	test := regexp.MustCompile(`\.(Test|Fuzz|Benchmark)\w*$`)
	path := regexp.MustCompile("`((?:agent|collectionagent|collector|docs|internal|libpf|proto|reporter|strobectl|support|tracer)/[^` ]*)`")
	for _, doc := range documents(t, root) {
		src, err := os.ReadFile(filepath.Join(root, doc))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			for _, m := range path.FindAllStringSubmatch(line, -1) {
				for _, name := range expand(m[1]) {
					if strings.ContainsAny(name, "$…<") || strings.Contains(name, "NAME") {
						continue // stands for several
					}
					name = test.ReplaceAllString(name, "")
					name = strings.TrimSuffix(strings.TrimSuffix(name, "..."), "**")
					if found, err := filepath.Glob(filepath.Join(root, name)); err != nil || len(found) == 0 {
						t.Errorf("%s:%d: there is no %s", doc, i+1, m[1])
					}
				}
			}
		}
	}
}

// expand writes a/{b,c}/d out.
func expand(s string) []string {
	before, rest, ok := strings.Cut(s, "{")
	list, after, ok2 := strings.Cut(rest, "}")
	if !ok || !ok2 {
		return []string{s}
	}
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		all = append(all, expand(before+one+after)...)
	}
	return all
}
