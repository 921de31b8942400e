// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// texts are the string literals of all programs, without tests.
func texts(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case d.IsDir() && (strings.HasPrefix(name, ".") && path != root || name == "node_modules" || name == "dist" || name == "testdata" || name == "test"):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		case strings.HasSuffix(name, ".ts"), strings.HasSuffix(name, ".tsx"):
			src, err := os.ReadFile(path)
			all = append(all, string(src))
			return err
		case strings.HasSuffix(name, ".go"):
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			set := token.NewFileSet()
			var s scanner.Scanner
			s.Init(set.AddFile(path, -1, len(src)), src, nil, 0)
			for {
				_, tok, lit := s.Scan()
				if tok == token.EOF {
					return nil
				}
				if tok == token.STRING {
					if text, err := strconv.Unquote(lit); err == nil && text != "" {
						all = append(all, text)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMessagesExist wants every message in the first columns of
// docs/troubleshoot.md to be in the code. What differs is "…" there, and the
// fixed parts around it have to be in literals.
func TestMessagesExist(t *testing.T) {
	t.Parallel()
	root := Root(t)
	src, err := os.ReadFile(filepath.Join(root, "docs", "troubleshoot.md"))
	if err != nil {
		t.Fatal(err)
	}
	corpus := strings.Join(texts(t, root), "\x00")
	quoted := regexp.MustCompile("`([^`]+)`")
	checked := 0
	for i, line := range strings.Split(string(src), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what one sees") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " | ")
		for _, m := range quoted.FindAllStringSubmatch(first, -1) {
			if strings.HasPrefix(m[1], "strobe_") || strings.HasPrefix(m[1], "binary+") {
				continue // a metric, see TestMetricsExist; a picture
			}
			for part := range strings.SplitSeq(m[1], "…") {
				part = strings.Trim(part, " []:()\"+")
				checked++
				if !strings.Contains(corpus, part) {
					t.Errorf("docs/troubleshoot.md:%d: no program says %q, of %q", i+1, part, m[1])
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d messages were found in the tables", checked)
	}
}

// TestMetricsExist wants every metric that a document names to be made of
// literals of the code, which puts prefixes before names.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	root := Root(t)
	piece := regexp.MustCompile(`^[a-z0-9_]+$`)
	pieces := map[string]bool{"strobe_agent_": true} // the tracer is told it as a name space
	for _, text := range texts(t, root) {
		if len(text) >= 4 && piece.MatchString(text) {
			pieces[text] = true
		}
	}
	name := regexp.MustCompile(`strobe_(?:agent|collectionagent|profile)_[a-z0-9_]*[a-z0-9]`)
	for _, doc := range documents(t, root) {
		src, err := os.ReadFile(filepath.Join(root, doc))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			for _, at := range name.FindAllStringIndex(line, -1) {
				metric := line[at[0]:at[1]]
				if strings.HasPrefix(line[at[1]:], "_") || strings.HasPrefix(line[at[1]:], "{") && strings.Contains(line[at[1]:], "}_") {
					continue // the beginning of several
				}
				for _, suffix := range []string{"_bucket", "_count", "_sum"} {
					metric = strings.TrimSuffix(metric, suffix)
				}
				// A Collector leaves the end of counters out.
				if !madeOf(metric, pieces) && !madeOf(metric+"_total", pieces) {
					t.Errorf("%s:%d: no program has the metric %s", doc, i+1, metric)
				}
			}
		}
	}
}

// madeOf reports whether a text is a sequence of pieces.
func madeOf(text string, pieces map[string]bool) bool {
	ok := make([]bool, len(text)+1)
	ok[0] = true
	for i := range text {
		for j := i + 4; ok[i] && j <= len(text); j++ {
			ok[j] = ok[j] || pieces[text[i:j]]
		}
	}
	return ok[len(text)]
}

// documents are the Markdown files for people, from the root.
func documents(t *testing.T, root string) []string {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
		}
	}
	return names
}
