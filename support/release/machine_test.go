// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/skip"
)

// scriptUnit runs the test's script once the machine is up, and switches it off.
// OUTPUT is for what the script prints.
const scriptUnit = `[Unit]
After=multi-user.target
[Service]
Type=idle
Environment=HOME=/root DEBIAN_FRONTEND=noninteractive
ExecStart=/bin/bash /script
ExecStopPost=/bin/systemctl poweroff --force
OUTPUT
StandardError=inherit
WorkingDirectory=/packages
`

// putScript lets a root run the script when it is booted.
func putScript(t *testing.T, root, script, output string) {
	t.Helper()
	units := filepath.Join(root, "etc/systemd/system")
	wants := filepath.Join(units, "multi-user.target.wants")
	err := errors.Join(
		os.MkdirAll(wants, 0o755),
		os.WriteFile(filepath.Join(root, "script"), []byte(script), 0o755),
		os.WriteFile(filepath.Join(units, "script.service"), []byte(strings.Replace(scriptUnit, "OUTPUT", output, 1)), 0o644),
		os.Symlink("../script.service", filepath.Join(wants, "script.service")),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// machineInit is what the first process of new namespaces does before it becomes
// systemd: it makes of $0 what systemd wants to find in a container. What the kernel has
// once for all of them, settings and modules, is not for the machine to change.
const machineInit = `
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mount -t proc -o nosuid,nodev,noexec proc proc
for settings in proc/sys proc/sysrq-trigger; do
	[ -e $settings ] || continue
	mount --bind $settings $settings
	mount -o remount,bind,ro,nosuid,nodev,noexec $settings
done
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o nosuid,mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for device in null zero full random urandom tty; do
	touch dev/$device
	mount --bind /dev/$device dev/$device
done
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs run
mount -t tmpfs -o nosuid,nodev tmpfs tmp
pivot_root . mnt
umount -l /mnt
mount --make-rshared / # what a service gets mounted, its credentials, systemd mounts for itself first
exec setpriv --bounding-set=-sys_module,-sys_time env -i container=strobe-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
`

// cgroup makes a cgroup for the machine, which its systemd takes for the whole hierarchy.
// Controllers are in it where this host has none of cgroup v1.
func cgroup(t *testing.T) *os.File {
	t.Helper()
	at := t.TempDir()
	if err := syscall.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
		skip.Because(t, "cgroup2 cannot be mounted: "+err.Error())
	}
	top, err := os.OpenRoot(at)
	// What is open stays, and no mount does if this test is killed.
	if err := errors.Join(err, syscall.Unmount(at, syscall.MNT_DETACH)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = top.Close() })
	name := "strobe-release-" + strconv.Itoa(os.Getpid())
	if err := top.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Its processes are gone, and what systemd made is empty.
		var dirs []string
		err := fs.WalkDir(top.FS(), name, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		for _, dir := range slices.Backward(dirs) {
			err = errors.Join(err, top.Remove(dir))
		}
		if err != nil {
			t.Error(err)
		}
	})
	f, err := top.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// boot boots the root with its systemd on this host's kernel, in namespaces, for at most
// this long. It runs the script in /packages and returns what that prints.
func (c *chroot) boot(script string, limit time.Duration) string {
	c.t.Helper()
	needs(c.t, "unshare", "setpriv", "journalctl")
	putScript(c.t, c.root, script, "StandardOutput=file:/result")
	group := cgroup(c.t)
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	// The namespace of cgroups is one of the group that its process is in already.
	cmd := exec.CommandContext(ctx, "unshare", "--cgroup", "/bin/bash", "-euc", machineInit, c.root)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		UseCgroupFD: true, CgroupFD: int(group.Fd()),
		Pdeathsig: syscall.SIGKILL,
	}
	start := time.Now()
	err := cmd.Run()
	c.t.Logf("the machine ran for %v", time.Since(start).Round(time.Second))
	out, _ := os.ReadFile(filepath.Join(c.root, "result")) // its absence is told below
	// The kernel ends the first process of a machine that is switched off with SIGINT.
	var exit *exec.ExitError
	if ctx.Err() != nil || !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT { //nolint:forcetypeassert,errcheck // of this system
		log, _ := exec.Command("journalctl", "--directory", filepath.Join(c.root, "var/log/journal"), "-b", "-n", "60", "--no-pager").CombinedOutput() // for the eye
		c.t.Fatalf("the machine ended with %v, %v; at most %v\n%s\n%s\n%s", err, ctx.Err(), limit, said.Bytes(), log, out)
	}
	return string(out)
}
