// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/strobe-profiler/strobe/support/vm/internal/wire"
)

// archive writes what the kernel unpacks into its first root: cpio, "newc", of
// Documentation/driver-api/early-userspace/buffer-format.rst.
type archive struct {
	w     io.Writer
	inode int
	dirs  map[string]bool
	err   error
}

func newArchive(w io.Writer) *archive {
	return &archive{w: w, dirs: map[string]bool{"/": true, ".": true}}
}

// file adds a regular file, and the folders above it.
func (a *archive) file(name string, mode fs.FileMode, content []byte) {
	a.folder(path.Dir(name))
	a.entry(name, 0o100000|uint32(mode.Perm()), content)
}

func (a *archive) folder(name string) {
	if a.dirs[name] {
		return
	}
	a.dirs[name] = true
	a.folder(path.Dir(name))
	a.entry(name, 0o040755, nil)
}

func (a *archive) entry(name string, mode uint32, content []byte) {
	if a.err != nil {
		return
	}
	a.inode++
	name = strings.TrimPrefix(name, "/")
	var b bytes.Buffer
	fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	b.WriteString(name)
	b.WriteByte(0)
	b.Write(make([]byte, -b.Len()&3))
	b.Write(content)
	b.Write(make([]byte, -len(content)&3))
	_, a.err = a.w.Write(b.Bytes())
}

func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

// initramfs writes init, drivers, configuration and files for one run.
func (m *Machine) initramfs(ctx context.Context, w io.Writer, c *wire.Config, files map[string]string) error {
	init, err := buildInit(ctx, m.Kernel.Arch)
	if err != nil {
		return err
	}
	modules, err := m.Kernel.loadOrder(append(drivers, m.Modules...))
	if err != nil {
		return err
	}
	a := newArchive(w)
	a.file("/init", 0o755, init)
	for _, mod := range modules {
		c.Modules = append(c.Modules, mod.name)
		a.file(path.Join(wire.ModulesDir, mod.name), 0o644, mod.bytes)
	}
	for to, from := range files {
		b, err := os.ReadFile(from) //nolint:gosec // named by the caller
		if err != nil {
			return err
		}
		st, err := os.Stat(from)
		if err != nil {
			return err
		}
		a.file(path.Join(wire.FilesDir, to), st.Mode(), b)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	a.file(wire.ConfigFile, 0o644, b)
	// Without a console, what init says before it has a port is lost.
	a.folder("/dev")
	a.folder("/root")
	return a.close()
}

// buildInit compiles the init of guests.
func buildInit(ctx context.Context, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "strobe-vm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // ours
	root, err := projectRoot(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "init")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "./support/vm/guest") //nolint:gosec // constant
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest's init: %w: %s", err, out)
	}
	return os.ReadFile(file) //nolint:gosec // just built
}
