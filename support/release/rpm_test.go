// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRPMRoot goes through the life of a package with its scripts, which find a shell and
// systemctl in a root of Debian, and no systemd that runs.
func TestRPMRoot(t *testing.T) {
	t.Parallel()
	needs(t, "rpm")
	dir, next := releases(t)
	c := newChroot(t)
	// rpm runs it, and wants the warnings that are named and no others: it warns of scripts that fail.
	rpm := func(warnings []string, args ...string) {
		t.Helper()
		// What the packages need is there, but rpm does not know about it.
		out := output(t, "rpm", append([]string{"--root", c.root, "--dbpath", "/rpmdb", "--nodeps", "--nosignature"}, args...)...)
		if strings.Count(out, "warning:") != len(warnings) {
			t.Errorf("%q prints\n%s", args, out)
		}
		for _, w := range warnings {
			if !strings.Contains(out, w) {
				t.Errorf("%q: no %q in\n%s", args, w, out)
			}
		}
	}
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(c.root, path))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	const enabled = "systemctl is-enabled strobe-agent strobe-collectionagent || true"
	conf := filepath.Join(c.root, "etc/strobe/agent.conf")

	// The distribution's preset says what is enabled, as Fedora's does.
	c.sh("mkdir -p /etc/systemd/system-preset; printf 'enable strobe-agent.service\ndisable *\n' >/etc/systemd/system-preset/10-test.preset")
	rpm(nil, "-i", file(t, dir, "strobe-agent-*.rpm"), file(t, dir, "strobe-collectionagent-*.rpm"))
	c.wants("enabled\ndisabled\n", enabled)
	c.wants("640\n", "stat -c %a /etc/strobe/agent.env")

	// An upgrade changes neither settings nor what the administrator enabled.
	if err := os.WriteFile(conf, []byte("verbose: true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.sh("systemctl disable strobe-agent; systemctl enable strobe-collectionagent")
	rpm(nil, "-U", file(t, next, "strobe-collectionagent-*.rpm"))
	rpm([]string{"agent.conf created as"}, "-U", file(t, next, "strobe-agent-*.rpm"))
	c.wants("disabled\nenabled\n", enabled)
	if got := read("etc/strobe/agent.conf"); got != "verbose: true\n" {
		t.Errorf("after an upgrade: %q", got)
	}

	// Data and what was changed stay.
	c.sh("mkdir -p /var/lib/private/strobe/collectionagent")
	rpm([]string{"agent.conf saved as"}, "-e", "strobe-agent", "strobe-collectionagent")
	c.wants("/var/lib/private/strobe/collectionagent\n", "ls -d /usr/bin/strobe* /usr/lib/systemd/system/strobe* /etc/systemd/system/*/strobe* /var/lib/private/strobe/* 2>/dev/null || true")
	if got := read("etc/strobe/agent.conf.rpmsave"); got != "verbose: true\n" {
		t.Errorf("after a removal: %q", got)
	}
	if _, err := os.Stat(conf); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
