// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/support/vm"
)

// guestInit is the init of the guest's first root: it makes one of memory, so that the
// system can change everything, and starts systemd in it.
const guestInit = `#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /new
$b mount -t tmpfs -o mode=755,size=75% root /new
$b tar -xf /root.tar -C /new
$b rm /root.tar
$b mkdir -p /new/packages
$b mv /packages/* /new/packages/
$b cp /script /new/script
$b cp /script.service /new/etc/systemd/system/script.service
$b mkdir -p /new/etc/systemd/system/multi-user.target.wants
$b ln -s ../script.service /new/etc/systemd/system/multi-user.target.wants/script.service
$b rm -f /new/etc/fstab
exec $b switch_root /new /sbin/init
`

// scriptUnit runs the test's script once the guest is up, and switches it off.
const scriptUnit = `[Unit]
After=multi-user.target
[Service]
Type=idle
Environment=HOME=/root DEBIAN_FRONTEND=noninteractive
ExecStart=/bin/bash /script
ExecStopPost=/bin/systemctl poweroff --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
WorkingDirectory=/packages
`

// boot boots the root with systemd, runs the script in /packages and returns what it prints.
func boot(t *testing.T, dir, script string) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		skip.Because(t, "the guest is one of amd64")
	}
	root := debianRoot(t)
	needs(t, "qemu-system-x86_64", "cpio", "busybox")
	suite := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(root), "debian-"), "-amd64.tar")
	kernel, err := vm.Fetch(t.Context(), vm.Source{Suite: suite, Arch: "amd64", Cache: filepath.Join(sourceRoot(t), ".test", "kernels")})
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "mkdir", "-p", filepath.Join(work, "bin"), filepath.Join(work, "packages"))
	output(t, "cp", "/bin/busybox", filepath.Join(work, "bin"))
	output(t, "ln", root, filepath.Join(work, "root.tar"))
	for _, p := range parcels {
		output(t, "cp", file(t, dir, p.name+"_*.deb"), filepath.Join(work, "packages"))
	}
	write("init", guestInit, 0o755)
	write("script", script, 0o755)
	write("script.service", scriptUnit, 0o644)
	initrd := filepath.Join(t.TempDir(), "initrd")
	pack := exec.CommandContext(t.Context(), "sh", "-c", `find . | cpio --quiet -o -H newc >"$0"`, initrd)
	pack.Dir = work
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := vm.Machine{Kernel: kernel}
	accel, cpu, patience := "tcg,thread=multi", "max", 15*time.Minute
	if m.Accelerated() {
		accel, cpu, patience = "kvm", "host,arch-capabilities=off", 10*time.Minute // for a boot and the five of docs/install.md
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	console, result := filepath.Join(t.TempDir(), "console"), filepath.Join(t.TempDir(), "result")
	start := time.Now()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", accel, "-cpu", cpu, "-m", "2560", "-smp", "2", "-kernel", kernel.Image, "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 loglevel=4 systemd.log_target=console", "-serial", "file:"+console, "-serial", "file:"+result)
	said, err := cmd.CombinedOutput()
	log, _ := os.ReadFile(console) // says more about an error, if it is there
	out, _ := os.ReadFile(result)
	t.Logf("kernel %s, %s: the guest ran for %v", kernel.Release, accel, time.Since(start).Round(time.Second))
	if err != nil {
		t.Fatalf("qemu: %v\n%s\n%s\n%s", err, said, tail(log), out)
	}
	if len(out) == 0 {
		t.Fatalf("the guest ran no script\n%s", tail(log))
	}
	return strings.ReplaceAll(string(out), "\r", "")
}

func tail(b []byte) []byte { return b[max(0, len(b)-6000):] }

// TestInstallDebianPackage does in a booted Debian what docs/install.md says, up to
// the hot function, and then looks at the services as an administrator would.
func TestInstallDebianPackage(t *testing.T) {
	doc := doctest.Open(t, "docs/install.md", "Debian package")
	dir, _ := releases(t)
	var script strings.Builder
	script.WriteString("set -eu\nfail() { echo FAILED at $1; journalctl -b -o cat --no-pager -u strobe-agent -u strobe-collectionagent | tail -n 60; }\ntrap 'fail $LINENO' ERR\n")
	part := func(name string) { fmt.Fprintf(&script, "echo '=== %s'\n", name) }
	for i := range doc.Len() {
		block := doc.Block(i)
		part(fmt.Sprintf("block %d", i))
		switch {
		case strings.HasPrefix(block.Text, "strobe-agent status"):
			// What the kernel allows is asked for once, which takes a while on a busy host.
			fmt.Fprintf(&script, "for i in $(seq 30); do { %s\n} && break; sleep 1; done\n", strings.TrimSpace(block.Text))
		case !block.HasWant:
			script.WriteString(block.Text + "\n")
		default: // "after ten seconds"
			// The answer is there when the last word of what is expected is.
			fmt.Fprintf(&script, "for i in $(seq 60); do { %s\n} >/tmp/out 2>&1 && grep -q 'main::slow' /tmp/out && break; sleep 1; done; cat /tmp/out\n", strings.TrimSpace(block.Text))
		}
		block.Ran()
	}
	part("services")
	script.WriteString("for u in strobe-agent strobe-collectionagent; do systemctl show -p Id,ActiveState,NRestarts,WatchdogUSec,StatusText,NotifyAccess $u; done\n")
	part("journal")
	script.WriteString("journalctl -b -o cat -u strobe-agent -u strobe-collectionagent\n")
	part("warnings")
	script.WriteString("journalctl -b -o cat -p warning -u strobe-agent -u strobe-collectionagent\n")
	part("files")
	script.WriteString("ls -A /var/lib/strobe/ /var/lib/private/strobe/collectionagent /var/lib/private/strobe/agent\n")
	part("answer")
	script.WriteString("curl -fsS 'http://127.0.0.1:7070/api/v1/top?from=now-5m' | grep -o 'main::slow' | head -n 1\n")
	part("token")
	script.WriteString("strobe-collectionagent token create -config /etc/strobe/collectionagent.conf -project default -role ingest >/etc/strobe/agent.token\n" +
		"chmod 600 /etc/strobe/agent.token; install -D -t /etc/systemd/system/strobe-agent.service.d /usr/share/doc/strobe-agent/examples/token.conf\n" +
		"systemctl daemon-reload; systemctl restart strobe-agent strobe-collectionagent; for i in $(seq 60); do strobe-agent status >/tmp/out 2>&1 && break; sleep 1; done; cat /tmp/out\n")
	part("purge")
	script.WriteString("apt-get purge -y strobe-agent strobe-collectionagent 2>&1 | tail -n 5; systemctl is-active strobe-agent || true; ls -d /etc/strobe /var/lib/strobe /var/lib/private/strobe 2>&1 || true\n")
	part("done")
	out := boot(t, dir, script.String())
	t.Log(out)
	parts := map[string]string{}
	for p := range strings.SplitSeq(out, "=== ") {
		name, text, _ := strings.Cut(p, "\n")
		parts[name] = text
	}
	if _, ok := parts["done"]; !ok || strings.Contains(out, "FAILED at") {
		t.Fatal("the script did not come to its end")
	}
	for i := range doc.Len() {
		if b := doc.Block(i); b.HasWant && !doctest.Matches(b.Want, parts[fmt.Sprintf("block %d", i)]) {
			t.Errorf("%s: prints what is not in the document:\n%s", b.Pos(), parts[fmt.Sprintf("block %d", i)])
		}
	}
	has := func(name string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(parts[name], text) {
				t.Errorf("%s: no %q in\n%s", name, text, parts[name])
			}
		}
	}
	has("answer", "main::slow")
	has("services", "Id=strobe-agent.service", "Id=strobe-collectionagent.service", "StatusText=takes and shows profiles")
	for text, n := range map[string]int{"ActiveState=active": 2, "NRestarts=0": 2, "WatchdogUSec=1min": 2} {
		if strings.Count(parts["services"], text) != n {
			t.Errorf("services: not %d times %s\n%s", n, text, parts["services"])
		}
	}
	has("journal", "msg=ready http=127.0.0.1:7070", "msg=starting version="+made.version)
	for line := range strings.Lines(parts["journal"]) {
		if strings.Contains(line, "are given up") && strings.Contains(line, "SYS_ADMIN") {
			t.Errorf("the agent keeps more than it needs: %s", line)
		}
	}
	has("journal", "privileges that are not needed any more are given up")
	if strings.Contains(parts["journal"], "level=INFO") || strings.Contains(parts["warnings"], "msg=ready") {
		t.Errorf("the journal has no priorities:\n%s", parts["journal"])
	}
	if strings.Count(parts["purge"], "No such file") != 3 {
		t.Errorf("a purge leaves\n%s", parts["purge"])
	}
}
