// SPDX-License-Identifier: Apache-2.0

// Release makes everything that a release consists of: binaries in tarballs, packages
// for Debian and for RPM, container images, lists of what is in them, and checksums.
// The same sources, Go and settings give the same bytes, wherever and whenever it runs.
//
//	go run . -root ../.. -out ../../dist -version 1.2.3 -commit 0123… -date 2026-01-02T03:04:05Z
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// release is one run.
type release struct {
	root, out             string
	version, commit, date string
	arches                []string
	time                  time.Time // date, which all files in archives have
	work                  string    // binaries by architecture, and texts
}

// architectures are those that there are eBPF objects for.
var architectures = []string{"amd64", "arm64"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var r release
	var arches string
	fs := flag.NewFlagSet("release", flag.ContinueOnError)
	fs.StringVar(&r.root, "root", "../..", "`directory` of the sources")
	fs.StringVar(&r.out, "out", "../../dist", "`directory` for what is made; what is in it is removed")
	fs.StringVar(&r.version, "version", "", "`version`, such as 1.2.3")
	fs.StringVar(&r.commit, "commit", "unknown", "`hash` of the commit")
	fs.StringVar(&r.date, "date", "", "`time` of the commit, RFC 3339; all files have it")
	fs.StringVar(&arches, "arch", strings.Join(architectures, ","), "`architectures`, separated by commas")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	r.arches = strings.Split(arches, ",")
	if err := r.check(); err != nil {
		return err
	}
	return r.make(ctx)
}

// versionForm is what Debian, RPM, semantic versions and tags of images all take.
var versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)

func (r *release) check() (err error) {
	if !versionForm.MatchString(r.version) {
		return fmt.Errorf("-version: is %q, must be like 1.2.3 or 1.2.3-dev.4", r.version)
	}
	if r.time, err = time.Parse(time.RFC3339, r.date); err != nil {
		return fmt.Errorf("-date: is %q, must be like 2026-01-02T03:04:05Z", r.date)
	}
	r.time = r.time.UTC()
	for _, arch := range r.arches {
		if arch != "amd64" && arch != "arm64" {
			return fmt.Errorf("-arch: is %q, must be of %s", arch, strings.Join(architectures, ", "))
		}
	}
	if r.root, err = filepath.Abs(r.root); err != nil {
		return err
	}
	r.out, err = filepath.Abs(r.out)
	return err
}

// make makes everything.
func (r *release) make(ctx context.Context) (err error) {
	// Nobody's umask shows in what is made.
	syscall.Umask(0o022)
	if err := r.clean(); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "strobe-release-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	for _, arch := range r.arches {
		if err := r.build(ctx, arch); err != nil {
			return err
		}
	}
	texts, err := r.texts(ctx)
	if err != nil {
		return err
	}
	for _, arch := range r.arches {
		modules, err := r.modules(ctx, arch)
		if err != nil {
			return err
		}
		notices, err := notices(modules, r.root)
		if err != nil {
			return err
		}
		texts["THIRD_PARTY_NOTICES"] = notices
		for _, step := range []func(string, map[string][]byte) error{r.tarball, r.packages, r.images} {
			if err := step(arch, texts); err != nil {
				return fmt.Errorf("%s: %w", arch, err)
			}
		}
		if err := r.sbom(arch, modules); err != nil {
			return fmt.Errorf("%s: list of modules: %w", arch, err)
		}
	}
	return r.sums()
}

// clean empties the directory, if it is one that a release was made in.
func (r *release) clean() error {
	entries, err := os.ReadDir(r.out)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(r.out, sumsFile)); err != nil {
			return fmt.Errorf("-out: %s is not empty, and no release: it has no %s", r.out, sumsFile)
		}
		if err := os.RemoveAll(r.out); err != nil {
			return err
		}
	}
	return os.MkdirAll(r.out, 0o755) //nolint:gosec // for everybody
}
