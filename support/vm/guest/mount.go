// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support/vm/internal/wire"
)

type mount struct {
	kind, at, options string
}

func (m mount) mount(below string) error {
	at := below + m.at
	if err := os.MkdirAll(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // a mount point
		return err
	}
	if err := unix.Mount(m.kind, at, m.kind, 0, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
	}
	return nil
}

var (
	early = []mount{{"devtmpfs", "/dev", "mode=755"}, {"proc", "/proc", ""}, {"sysfs", "/sys", ""}}
	late  = []mount{
		{"tmpfs", "/run", "mode=755"}, {"tmpfs", "/dev/shm", ""}, {"devpts", "/dev/pts", ""},
		{"tracefs", "/sys/kernel/tracing", ""}, {"debugfs", "/sys/kernel/debug", ""},
		{"bpf", "/sys/fs/bpf", ""}, {"securityfs", "/sys/kernel/security", ""},
	}
	// written is what a read-only root has memory for.
	written = []mount{{"tmpfs", "/tmp", "mode=1777"}, {"tmpfs", "/var", "mode=755"}, {"tmpfs", "/root", "mode=700"}}
)

// enterRoot mounts what a distribution mounts, and makes the disk the root.
func (g *guest) enterRoot() error {
	mounts := slices.Clone(late)
	if g.cfg.Root != "" {
		if err := g.switchRoot(); err != nil {
			return err
		}
		mounts = append(mounts, written...)
	}
	for _, m := range mounts {
		if slices.Contains(g.cfg.Without, m.at) || (m.at == "/run" && g.cfg.Root != "") {
			continue // switchRoot has mounted /run, and it holds the files
		}
		if err := m.mount(""); err != nil {
			g.warn("%v", err) // an old kernel does not have all of them
		}
	}
	for _, dir := range []string{"/var/tmp", "/var/lib", "/tmp"} {
		_ = os.MkdirAll(dir, 0o1777) //nolint:gosec // a guest
	}
	g.cgroups()
	// With a root from a disk, the files wait on the memory that was moved away.
	return copyFiles(g.filesFrom())
}

func (g *guest) filesFrom() string {
	if g.cfg.Root != "" {
		return "/run/files"
	}
	return wire.FilesDir
}

func (g *guest) switchRoot() error {
	const disk, at = "/dev/vda", "/newroot"
	if err := eventually(func() bool { _, err := os.Stat(disk); return err == nil }); err != nil {
		return fmt.Errorf("disk %s: %w", disk, err)
	}
	if err := os.MkdirAll(at, 0o755); err != nil { //nolint:gosec // a mount point
		return err
	}
	if err := unix.Mount(disk, at, g.cfg.Root, unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s of %s: %w", g.cfg.Root, disk, err)
	}
	for _, m := range early {
		if err := unix.Mount(m.at, at+m.at, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m.at, err)
		}
	}
	// /run is memory: what the host brought along is taken there.
	if err := unix.Mount("tmpfs", at+"/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if _, err := os.Stat(wire.FilesDir); err == nil {
		if err := os.CopyFS(at+"/run/files", os.DirFS(wire.FilesDir)); err != nil {
			return fmt.Errorf("bring files: %w", err)
		}
	}
	if err := unix.Chdir(at); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	return unix.Chdir("/")
}

// cgroups mounts the hierarchies as distributions do that use v2, v1, or both.
func (g *guest) cgroups() {
	const at = "/sys/fs/cgroup"
	if slices.Contains(g.cfg.Without, at) {
		return
	}
	if g.cfg.Cgroup != "v1" && g.cfg.Cgroup != "hybrid" {
		if err := unix.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
			g.warn("mount cgroup2: %v", err)
			return
		}
		// What systemd does: otherwise no group can have a limit.
		controllers, _ := os.ReadFile(at + "/cgroup.controllers")
		for c := range strings.FieldsSeq(string(controllers)) {
			_ = os.WriteFile(at+"/cgroup.subtree_control", []byte("+"+c), 0o600)
		}
		return
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755"); err != nil {
		g.warn("mount %s: %v", at, err)
		return
	}
	for _, c := range []string{"cpu,cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "perf_event"} {
		dir := filepath.Join(at, c)
		_ = os.Mkdir(dir, 0o755) //nolint:gosec // a mount point
		if err := unix.Mount("cgroup", dir, "cgroup", 0, c); err != nil {
			g.warn("mount cgroup %s: %v", c, err)
		}
	}
	if g.cfg.Cgroup == "hybrid" {
		_ = os.Mkdir(at+"/unified", 0o755) //nolint:gosec // a mount point
		if err := unix.Mount("cgroup2", at+"/unified", "cgroup2", 0, ""); err != nil {
			g.warn("mount cgroup2: %v", err)
		}
	}
}

// copyFiles puts the files that the host brought along in their places.
func copyFiles(from string) error {
	if _, err := os.Stat(from); err != nil {
		return nil // none
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		to := strings.TrimPrefix(path, from)
		b, err := os.ReadFile(path) //nolint:gosec // brought by the host
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a guest
			return err
		}
		return os.WriteFile(to, b, info.Mode().Perm())
	})
	if err != nil {
		return fmt.Errorf("put files in place: %w", err)
	}
	return os.RemoveAll(from)
}

// eventually waits for a driver to find its device.
func eventually(done func() bool) error {
	for range 1000 {
		if done() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("did not appear within ten seconds")
}
