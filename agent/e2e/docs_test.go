// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/skip"
)

// TestInstallFromSource does what docs/install.md says, in a fresh clone.
func TestInstallFromSource(t *testing.T) {
	skip.UnlessRoot(t)
	root := doctest.Root(t)
	if _, err := os.Stat(root + "/.git"); err != nil {
		skip.Because(t, "not a clone: there is nothing to clone from")
	}
	page, own := freeAddress(t), freeAddress(t)
	doc := doctest.Open(t, "docs/install.md", "From source")
	sh := doc.Shell(t, doctest.Options{
		Dir: t.TempDir(),
		Env: []string{
			"STROBE_HTTP=" + page, "STROBE_GRPC=" + freeAddress(t), "STROBE_URL=http://" + page,
			"STROBE_AGENT_HTTP_ADDRESS=" + own,
			// The repository may belong to somebody else than root.
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
		Replace: map[string]string{"https://github.com/strobe-profiler/strobe": root + " strobe"},
	})
	sh.Run(doc.Block(0))
	sh.Run(doc.Block(1))
	doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	doctest.WaitHTTP(t, "http://"+own+"/-/ready")
	sh.Run(doc.Block(2))
	sh.RunUntil(doc.Block(3), nil)
	out := sh.RunUntil(doc.Block(4), nil)
	if !strings.Contains(out, "main::serve") {
		t.Errorf("the caller of the hot function is not there:\n%s", out)
	}
}
