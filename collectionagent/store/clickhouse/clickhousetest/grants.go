// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
)

// DocumentedGrants returns what docs/clickhouse.md grants on a single server, for a database of
// this name in place of strobe.
func DocumentedGrants(t testing.TB, database string) (all []string) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(doctest.Root(t), "docs", "clickhouse.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(GRANT .+) TO strobe;( -- with a cluster)?$`).FindAllStringSubmatch(string(doc), -1) {
		if m[2] == "" {
			all = append(all, strings.ReplaceAll(m[1], " ON strobe.*", " ON "+database+".*"))
		}
	}
	if len(all) < 3 {
		t.Fatalf("docs/clickhouse.md has only the grants %q", all)
	}
	return all
}
