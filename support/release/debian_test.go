// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// making is held while the archive is made.
var making sync.Mutex

// debianRoot returns an archive of a small Debian of this host's release, with systemd
// as init. It is made once, from the mirror that this host's apt uses.
func debianRoot(t *testing.T) string {
	t.Helper()
	skip.UnlessRoot(t)
	needs(t, "debootstrap", "apt-get", "tar")
	suite := strings.TrimSpace(output(t, "sh", "-c", `. /etc/os-release && echo "$VERSION_CODENAME"`))
	making.Lock()
	defer making.Unlock()
	archive := filepath.Join(sourceRoot(t), ".test", "debian-"+suite+"-"+runtime.GOARCH+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive
	}
	mirror := ""
	for line := range strings.Lines(output(t, "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == suite && f[1] == "main" {
			mirror = f[2]
		}
	}
	if mirror == "" {
		skip.Because(t, "apt has no mirror of "+suite)
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	output(t, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,init-system-helpers,curl", suite, root, mirror)
	partial := archive + ".new"
	output(t, "tar", "-C", root, "--exclude=./usr/share/doc/*", "--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*",
		"--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf", partial, ".")
	if err := os.Rename(partial, archive); err != nil {
		t.Fatal(err)
	}
	return archive
}

// chroot is a Debian to install into, without a running init.
type chroot struct {
	t    *testing.T
	root string
}

func newChroot(t *testing.T) *chroot {
	t.Helper()
	archive := debianRoot(t)
	c := &chroot{t, t.TempDir()}
	output(t, "tar", "-xf", archive, "-C", c.root)
	return c
}

// put copies packages into the root's /packages.
func (c *chroot) put(dir string) {
	c.t.Helper()
	to := filepath.Join(c.root, "packages")
	if err := os.MkdirAll(to, 0o755); err != nil {
		c.t.Fatal(err)
	}
	for _, p := range parcels {
		output(c.t, "cp", file(c.t, dir, p.name+"_*.deb"), to)
	}
}

// sh runs a script in there and returns what it prints.
func (c *chroot) sh(script string) string {
	c.t.Helper()
	cmd := exec.CommandContext(context.Background(), "chroot", c.root, "/bin/bash", "-euc", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
	return out.String()
}

// wants runs a script and compares what it prints.
func (c *chroot) wants(want, script string) {
	c.t.Helper()
	if got := c.sh(script); got != want {
		c.t.Errorf("%s\n%s\nwant\n%s", script, got, want)
	}
}

// TestDebian goes through the life of the packages: installation, upgrade, removal, purge.
func TestDebian(t *testing.T) {
	t.Parallel()
	old, next := releases(t)
	c := newChroot(t)
	c.put(old)
	c.sh("dpkg -i /packages/*.deb")
	c.wants("", "dpkg --verify strobe-agent strobe-collectionagent strobectl")
	c.wants("755 root:root /usr/bin/strobe-agent\n755 root:root /usr/bin/strobe-collectionagent\n755 root:root /usr/bin/strobectl\n"+
		"644 root:root /usr/lib/systemd/system/strobe-agent.service\n644 root:root /etc/strobe/agent.conf\n640 root:root /etc/strobe/agent.env\n",
		"stat -c '%a %U:%G %n' /usr/bin/strobe* /usr/lib/systemd/system/strobe-agent.service /etc/strobe/agent.*")
	c.wants("/etc/strobe/collectionagent.conf\n/etc/strobe/collectionagent.env\n",
		"dpkg-query -f '${Conffiles}' -W strobe-collectionagent | awk 'NF {print $1}'")
	c.wants("enabled\nenabled\n", "systemctl is-enabled strobe-agent strobe-collectionagent")
	c.wants("", "systemd-analyze verify strobe-agent.service strobe-collectionagent.service 2>&1 | grep strobe || true")
	c.wants("the configuration is valid\nconfiguration is right\n",
		"strobe-agent -check-config -config /etc/strobe/agent.conf; strobe-collectionagent -check-config -config /etc/strobe/collectionagent.conf")
	c.sh("test -s /usr/share/doc/strobectl/copyright; zcat /usr/share/doc/strobectl/THIRD_PARTY_NOTICES.gz | grep -q Preact; bash -n /usr/share/bash-completion/completions/strobectl")

	// dpkg calls a script again where it was interrupted.
	c.sh("cp -p /var/lib/dpkg/info/strobe-* /root; for i in 1 2; do /var/lib/dpkg/info/strobe-agent.postinst configure ''; done")
	c.wants("enabled\n", "systemctl is-enabled strobe-agent")

	// What the administrator changed stays through an upgrade, also that one is disabled.
	c.sh("echo 'verbose: true' >>/etc/strobe/agent.conf; systemctl disable strobe-collectionagent; mkdir -p /var/lib/private/strobe/agent/spool; echo token >/etc/strobe/agent.token")
	c.sh("rm /packages/*")
	c.put(next)
	c.sh("dpkg --force-confold -i /packages/*.deb")
	c.wants(newVersion+"\n", "dpkg-query -f '${Version}\\n' -W strobe-agent")
	c.wants("1\n", "grep -c '^verbose: true' /etc/strobe/agent.conf")
	c.wants("1\n", "grep -c 'of the new version' /etc/strobe/collectionagent.conf")
	c.wants("enabled\ndisabled\n", "systemctl is-enabled strobe-agent strobe-collectionagent || true")

	c.sh("dpkg -r strobe-agent")
	c.wants("agent.conf agent.conf.dpkg-dist agent.env agent.token collectionagent.conf collectionagent.env\n", "echo $(ls /etc/strobe)")
	c.wants("spool\n", "ls /var/lib/private/strobe/agent")
	c.sh("! test -e /usr/bin/strobe-agent")
	c.sh("dpkg -i /packages/strobe-agent_*.deb")
	c.wants("enabled\n", "systemctl is-enabled strobe-agent")
	c.wants("1\n", "grep -c '^verbose: true' /etc/strobe/agent.conf")

	c.sh("dpkg -P strobe-agent")
	c.wants("collectionagent.conf collectionagent.env\n", "echo $(ls /etc/strobe)")
	c.sh("dpkg -P strobe-collectionagent strobectl")
	c.sh("for script in /root/*.postrm; do $script purge; done; for script in /root/*.prerm; do $script remove; done; rm /root/strobe-*")
	c.wants("", "ls -d /etc/strobe /var/lib/strobe /var/lib/private/strobe /etc/systemd/system/strobe* /etc/systemd/system/*/strobe* 2>/dev/null || true")
}
