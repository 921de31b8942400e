// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// AddPackages unpacks packages of Debian, and what they depend on, into the tree.
// Suite, Arch, Cache and Update of the source count. The packages come from this
// host's mirror and stay in the cache; their scripts do not run, so that nothing is
// configured and no link to an alternative is made.
func (t *Tree) AddPackages(ctx context.Context, s Source, names ...string) error {
	debs, err := Packages(ctx, s, names...)
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := Unpack(ctx, deb, t.dir); err != nil {
			return err
		}
	}
	return nil
}

// Packages fetches packages, and what they depend on, and returns their files. It may
// run at the same time only for different sources.
func Packages(ctx context.Context, s Source, names ...string) ([]string, error) {
	a, err := s.apt(ctx)
	if err != nil {
		return nil, err
	}
	install := append([]string{"-qq", "install", "--download-only", "--no-install-recommends", "--yes", "-o", "APT::Sandbox::User=root"}, names...)
	_, err = a.run(ctx, "", "apt-get", install...)
	if err != nil || s.Update { // no lists yet, or ones that name what the mirror has no more
		if err := a.update(ctx); err != nil {
			return nil, err
		}
		if _, err := a.run(ctx, "", "apt-get", install...); err != nil {
			return nil, fmt.Errorf("fetch packages of Debian %s for %s: %w", s.Suite, s.Arch, err)
		}
	}
	return a.simulated(ctx, install)
}

// Download fetches the named packages alone, and returns their files. It may run at
// the same time only for different sources.
func Download(ctx context.Context, s Source, names ...string) ([]string, error) {
	a, err := s.apt(ctx)
	if err != nil {
		return nil, err
	}
	debs, err := a.download(ctx, names)
	if err != nil || s.Update {
		if err := a.update(ctx); err != nil {
			return nil, err
		}
		debs, err = a.download(ctx, names)
	}
	return debs, err
}

// apt returns the apt of a source.
func (s *Source) apt(ctx context.Context) (*apt, error) {
	cache := s.Cache
	if cache == "" {
		root, err := projectRoot(ctx)
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(root, ".test", "kernels")
	}
	return newAPT(ctx, filepath.Join(cache, "apt", s.Suite+"-"+s.Arch), s.Suite, s.Arch)
}

// simulated returns the files in the cache that an installation would take.
func (a *apt) simulated(ctx context.Context, install []string) ([]string, error) {
	out, err := a.run(ctx, "", "apt-get", append([]string{"--simulate"}, install[1:]...)...)
	if err != nil {
		return nil, err
	}
	var debs []string
	for line := range strings.Lines(out) {
		// Inst zlib1g (1:1.2.13.dfsg-1 Debian:12.5/stable [arm64]) []
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "Inst" {
			continue
		}
		version := strings.ReplaceAll(strings.Trim(f[2], "("), ":", "%3a")
		name, _, _ := strings.Cut(f[1], ":")
		found, err := filepath.Glob(filepath.Join(a.dir, "cache", "archives", name+"_"+version+"_*.deb"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("package %s %s is not where apt puts it", f[1], version)
		}
		debs = append(debs, found[0])
	}
	if len(debs) == 0 {
		return nil, errors.New("apt names no packages")
	}
	return debs, nil
}

// Unpack unpacks a package below a folder, in which links to folders, such as lib,
// stay what they are.
func Unpack(ctx context.Context, deb, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // no secret
		return err
	}
	open := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb) //nolint:gosec // just fetched
	tar := exec.CommandContext(ctx, "tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", dir)
	var said strings.Builder
	tar.Stderr, open.Stderr = &said, &said
	var err error
	if tar.Stdin, err = open.StdoutPipe(); err != nil {
		return err
	}
	if err := open.Start(); err != nil {
		return err
	}
	if err := errors.Join(tar.Run(), open.Wait()); err != nil {
		return fmt.Errorf("unpack %s: %w: %.500s", filepath.Base(deb), err, said.String())
	}
	return nil
}
