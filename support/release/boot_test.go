// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

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
$b cp -a /put/. /new/
$b rm -f /new/etc/fstab
exec $b switch_root /new /sbin/init
`

// bootGuest boots the root with systemd in an emulated machine, runs the script in
// /packages and returns what it prints.
func bootGuest(t *testing.T, dir, script string) string {
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
	putScript(t, filepath.Join(work, "put"), script, "StandardOutput=tty\nTTYPath=/dev/ttyS1")
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
		"-append", "console=ttyS0 panic=-1 loglevel=4", "-serial", "file:"+console, "-serial", "file:"+result)
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
