// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFlagsExist wants every flag of our programs in commands of the documents,
// tried or not, to be in docs/configure.md, which is made from the code.
func TestFlagsExist(t *testing.T) {
	t.Parallel()
	root := Root(t)
	src, err := os.ReadFile(filepath.Join(root, "docs", "configure.md"))
	if err != nil {
		t.Fatal(err)
	}
	flag := regexp.MustCompile("(?:^|[\\s`|\\[(])--?([a-zA-Z][a-zA-Z0-9-]*)")
	known := map[string]bool{"help": true, "h": true, "version": true}
	for _, m := range flag.FindAllStringSubmatch(string(src), -1) {
		known[m[1]] = true
	}
	command := regexp.MustCompile(`(?:^|[\s/` + "`" + `])(?:strobe-)?(?:agent|collectionagent|strobectl) ([^|#;&` + "`" + `]*)`)
	comment := regexp.MustCompile(`\s#.*`)
	flags := 0
	for _, doc := range documents(t, root) {
		src, err := os.ReadFile(filepath.Join(root, doc))
		if err != nil {
			t.Fatal(err)
		}
		fenced := false
		for i, line := range strings.Split(string(src), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				continue
			}
			var commands []string
			if fenced || strings.HasPrefix(line, "    ") {
				commands = []string{comment.ReplaceAllString(strings.TrimSpace(line), "")}
			} else {
				for j, span := range strings.Split(line, "`") {
					if j%2 == 1 {
						commands = append(commands, span)
					}
				}
			}
			for _, c := range commands {
				if strings.Contains(c, "go run") || strings.Contains(c, "go test") || strings.Contains(c, "ctl -u ") {
					continue
				}
				before, _, _ := strings.Cut(c, " -- ") // what follows is another program's
				m := command.FindStringSubmatch(before)
				if m == nil {
					continue
				}
				for _, f := range flag.FindAllStringSubmatch(" "+m[1], -1) {
					flags++
					if !known[f[1]] {
						t.Errorf("%s:%d: no program has the flag -%s, in %q", doc, i+1, f[1], c)
					}
				}
			}
		}
	}
	if flags < 50 {
		t.Errorf("only %d flags were found", flags)
	}
}

// TestDefaults compares the defaults in tables of other documents with those of
// docs/configure.md.
func TestDefaults(t *testing.T) {
	t.Parallel()
	root := Root(t)
	row := regexp.MustCompile("(?m)^\\| `-([a-z-]+)[^|]*` \\| ([^|]*) \\|")
	read := func(file string, column int) map[string]string {
		src, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, line := range strings.Split(string(src), "\n") {
			if m := row.FindStringSubmatch(line); m != nil {
				all[m[1]] = strings.Trim(strings.TrimSpace(strings.Split(line, "|")[column]), "`")
			}
		}
		return all
	}
	right := read("docs/configure.md", 3)
	for _, file := range []string{"docs/limits.md", "docs/retention.md"} {
		found := read(file, 2)
		if len(found) < 5 {
			t.Errorf("%s: only %d flags with defaults", file, len(found))
		}
		for name, value := range found {
			if want, ok := right[name]; !ok || value != want && !(value == "none" && want == "") {
				t.Errorf("%s: the default of -%s is %q, not %q", file, name, want, value)
			}
		}
	}
}
