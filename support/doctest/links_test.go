// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkText    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingText = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
)

// TestLinks wants each link within the repository to lead to a file and a heading.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := Root(t)
	for _, doc := range documents(t, root) {
		src, err := os.ReadFile(filepath.Join(root, doc))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			for _, m := range linkText.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				path := filepath.Join(root, filepath.Dir(doc), target)
				if target == "" {
					path = filepath.Join(root, doc)
				}
				if !exists(path) {
					t.Errorf("%s:%d: the link %s leads nowhere", doc, i+1, m[1])
					continue
				}
				if anchor != "" && strings.HasSuffix(path, ".md") && !anchors(t, path)[anchor] {
					t.Errorf("%s:%d: %s has no heading for the link %s", doc, i+1, target, m[1])
				}
			}
		}
	}
}

// anchors returns those that GitHub makes of the headings of a file.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, m := range headingText.FindAllStringSubmatch(string(src), -1) {
		all[anchorOf(m[1])] = true
	}
	return all
}

func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
			return r
		}
		return -1
	}, strings.ToLower(heading))
}
