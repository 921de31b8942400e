// SPDX-License-Identifier: Apache-2.0

package support_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityIsShown checks that every test that SECURITY.md points to is there.
func TestSecurityIsShown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(found) < 20 {
		t.Fatalf("only %d tests are named", len(found))
	}
	for _, m := range found {
		files, err := filepath.Glob(filepath.Join("..", m[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for _, name := range files {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			there = there || strings.Contains(string(source), "\nfunc "+m[2]+"(")
		}
		if !there {
			t.Errorf("%s has no test %s", m[1], m[2])
		}
	}
}
