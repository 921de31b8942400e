// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/strobe-profiler/strobe/support/vm"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// compiled are the subjects that are compiled here and run there. Those with threads are
// judged by names of the C library that are in its debug files only.
var compiled = []string{"c-o2", "c-recur200", "c-hardened", "c-signal", "cpp-shapes", "rust-forge", "go-plain"}

// packages are those whose tests need the kernel and no toolchain; a quick run has the
// first.
var packages = []struct {
	path string
	test
}{
	{"./support", test{Binary: "support.test", Run: "Verifier"}},
	// TestDeepStacks and its like want 95 in 100 stacks of 900 frames to be whole, 500
	// times a second. In an emulated guest a fifth of the samples is of Go's scheduler,
	// which the signals of its own timer keep busy. Subjects are judged instead.
	{"./tracer", test{Binary: "tracer.test", Skip: "DeepStacks|TooDeep|NewProcess|Budget|StackIdentity"}},
	{"./tracer/process", test{Binary: "process.test"}},
	{"./tracer/identity", test{Binary: "identity.test", Run: "KernelCgroups"}},
	{"./agent/restricted", test{Binary: "restricted.test", Run: "^TestMemory$", Args: []string{"-agent", agent}}},
}

// prepare builds what the guests need into an image, and says what to do with it.
func prepare(ctx context.Context, dir string, quick bool) (*plan, string, error) {
	tree, err := vm.NewTree(filepath.Join(dir, "root"))
	if err != nil {
		return nil, "", err
	}
	p := &plan{}
	build := [][]string{{"build", "-o", tree.Path(bin), "./agent", "./collectionagent", "./support/kerneltest"}}
	for i, pkg := range packages {
		if quick && i > 0 {
			break
		}
		build = append(build, []string{"test", "-c", "-o", tree.Path(bin + pkg.Binary), pkg.path})
		p.Tests = append(p.Tests, pkg.test)
	}
	if err := os.MkdirAll(tree.Path(bin), 0o755); err != nil { //nolint:gosec // a root
		return nil, "", err
	}
	for _, args := range build {
		cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, path := range []string{"/bin/sh", "/bin/sleep"} { // for tests
		if err := tree.AddProgram(path); err != nil {
			return nil, "", err
		}
	}
	if p.Subjects, err = addSubjects(tree, dir, quick); err != nil {
		return nil, "", err
	}
	image := filepath.Join(dir, "root.img")
	return p, image, tree.Image(ctx, image)
}

func addSubjects(tree *vm.Tree, dir string, quick bool) ([]subject, error) {
	names := compiled
	if quick {
		names = compiled[:1]
	}
	var out []subject
	for _, name := range names {
		path, err := tracertest.Compile(name, dir)
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintln(os.Stderr, "kerneltest: left out:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := tree.AddProgramAs(path, bin+filepath.Base(path)); err != nil {
			return nil, err
		}
		out = append(out, subject{Name: name, Command: []string{bin + filepath.Base(path)}})
	}
	if quick {
		return out, nil
	}
	for _, add := range []func(*vm.Tree) (*subject, error){addPython, addNode} {
		s, err := add(tree)
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintln(os.Stderr, "kerneltest: left out:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, *s)
	}
	return out, nil
}

// addPython brings Debian's interpreter with its library.
func addPython(tree *vm.Tree) (*subject, error) {
	path, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		return nil, fmt.Errorf("subject py needs Debian's python3: %w", exec.ErrNotFound)
	}
	if err := tree.AddProgram(path); err != nil {
		return nil, err
	}
	lib := "/usr/lib/" + filepath.Base(path)
	if err := tree.Copy(lib, lib); err != nil {
		return nil, err
	}
	script := tracertest.Source("python", "meadow.py")
	return &subject{"py", []string{path, "/opt/meadow.py"}, "runs"}, tree.Copy(script, "/opt/meadow.py")
}

func addNode(tree *vm.Tree) (*subject, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("subject node: %w", err)
	}
	if err := tree.AddProgramAs(path, "/usr/bin/node"); err != nil {
		return nil, err
	}
	return &subject{"node", []string{"/usr/bin/node", "/opt/river.js"}, "runs"}, tree.Copy(tracertest.Source("v8", "river.js"), "/opt/river.js")
}
