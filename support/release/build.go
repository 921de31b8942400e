// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// programs are the binaries: the package in the sources, and the name when installed.
var programs = []struct{ pkg, name, summary string }{
	{"agent", "strobe-agent", "profiles a host"},
	{"collectionagent", "strobe-collectionagent", "stores and shows profiles"},
	{"strobectl", "strobectl", "asks for profiles in a terminal"},
}

const buildinfo = "github.com/strobe-profiler/strobe/internal/buildinfo"

// binary is where the binary of a program is.
func (r *release) binary(arch, name string) string { return filepath.Join(r.work, arch, name) }

// build builds all programs for an architecture, without anything of this machine in them.
func (r *release) build(ctx context.Context, arch string) error {
	ldflags := fmt.Sprintf("-s -w -buildid= -X %[1]s.version=%[2]s -X %[1]s.commit=%[3]s -X %[1]s.date=%[4]s", buildinfo, r.version, r.commit, r.date)
	for _, p := range programs {
		_, err := r.run(ctx, arch, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", r.binary(arch, p.name), "./"+p.pkg)
		if err != nil {
			return err
		}
	}
	return nil
}

// run runs a command in the sources, for an architecture, and returns what it prints.
func (r *release) run(ctx context.Context, arch, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // ours
	cmd.Dir = r.root
	// Levels of instructions, experiments and a workspace would change the binaries.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOWORK=off", "GOFIPS140=off", "GOFLAGS="+parallelism())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// parallelism keeps the one flag of GOFLAGS that does not show in what is built.
func parallelism() string {
	for f := range strings.FieldsSeq(os.Getenv("GOFLAGS")) {
		if strings.HasPrefix(f, "-p=") {
			return f
		}
	}
	return ""
}

// native returns a binary that runs here.
func (r *release) native(ctx context.Context, name string) (string, error) {
	path := r.binary(runtime.GOARCH, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, r.build(ctx, runtime.GOARCH)
}

// texts returns the files that go with the binaries, by a name in this program.
func (r *release) texts(ctx context.Context) (map[string][]byte, error) {
	texts := map[string][]byte{}
	for _, name := range []string{
		"LICENSE", "README.md", "CHANGELOG.md",
		"support/systemd/strobe-agent.service", "support/systemd/strobe-collectionagent.service",
		"support/systemd/strobe-agent.service.d/token.conf",
		"support/systemd/agent.env", "support/systemd/collectionagent.env",
	} {
		b, err := os.ReadFile(filepath.Join(r.root, name)) //nolint:gosec // ours
		if err != nil {
			return nil, err
		}
		texts[filepath.Base(name)] = b
	}
	for _, name := range []string{"agent", "collectionagent"} {
		path, err := r.native(ctx, "strobe-"+name)
		if err != nil {
			return nil, err
		}
		printed, err := r.bare(ctx, path, "-print-config")
		if err != nil {
			return nil, err
		}
		texts[name+".conf"] = settingsFile(name, printed)
	}
	path, err := r.native(ctx, "strobectl")
	if err != nil {
		return nil, err
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if texts["completion."+shell], err = r.bare(ctx, path, "completion", shell); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// bare runs one of the programs without the environment of this one.
func (r *release) bare(ctx context.Context, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // ours
	cmd.Dir, cmd.Env = r.work, []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", filepath.Base(path), strings.Join(args, " "), err)
	}
	return out, nil
}
