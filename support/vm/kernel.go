// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Source says which kernel of Debian is wanted.
type Source struct {
	// Suite is one of Debian's, such as bookworm or trixie-backports.
	Suite string
	// Arch is amd64 or arm64.
	Arch string
	// Flavour is cloud, which is the default: few drivers, quick to fetch and boot;
	// generic is what Debian installs on real machines.
	Flavour string
	// Cache is the folder for what was fetched; "" is .test/kernels of the project.
	Cache string
	// Update looks for a newer package even when one is in the cache.
	Update bool
}

// Kernel is a kernel that can be booted.
type Kernel struct {
	Source
	// Package is the version of the package, Release that of the kernel, as uname -r
	// has it.
	Package, Release string
	// Image is the file to boot, Modules the folder of Release's modules.
	Image, Modules string
}

func (s *Source) name() string {
	return "linux-image-" + map[string]string{"cloud": "cloud-"}[s.Flavour] + s.Arch
}

// Fetch returns the kernel, out of the cache when it is there. Fetching one takes 20
// to 100 MB. It may run at the same time only for different sources.
func Fetch(ctx context.Context, s Source) (*Kernel, error) {
	if s.Flavour == "" {
		s.Flavour = "cloud"
	}
	if s.Flavour != "cloud" && s.Flavour != "generic" {
		return nil, fmt.Errorf("kernel flavour %q: use cloud or generic", s.Flavour)
	}
	if s.Arch != "amd64" && s.Arch != "arm64" {
		return nil, fmt.Errorf("architecture %q: use amd64 or arm64", s.Arch)
	}
	if s.Suite == "" || strings.ContainsAny(s.Suite, "/ \t\n[]") {
		return nil, fmt.Errorf("suite %q is no name of a suite", s.Suite)
	}
	if s.Cache == "" {
		root, err := projectRoot(ctx)
		if err != nil {
			return nil, err
		}
		s.Cache = filepath.Join(root, ".test", "kernels")
	}
	dir := filepath.Join(s.Cache, strings.Join([]string{s.Suite, s.Arch, s.Flavour}, "-"))
	if !s.Update {
		if k, err := readKernel(dir, s); err == nil {
			return k, nil
		}
	}
	k, err := s.fetch(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("fetch %s of Debian %s: %w", s.name(), s.Suite, err)
	}
	return k, nil
}

// recordFile is written last, so that half a kernel is never taken for one.
const recordFile = "kernel.json"

func readKernel(dir string, s Source) (*Kernel, error) {
	b, err := os.ReadFile(filepath.Join(dir, recordFile)) //nolint:gosec // the cache
	if err != nil {
		return nil, err
	}
	k := &Kernel{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, err
	}
	k.Source = s
	k.place(dir)
	_, err = os.Stat(k.Image)
	return k, err
}

func (k *Kernel) place(dir string) {
	k.Image = filepath.Join(dir, "boot", "vmlinuz-"+k.Release)
	k.Modules = filepath.Join(dir, "modules", k.Release)
}

func (s *Source) fetch(ctx context.Context, dir string) (*Kernel, error) {
	a, err := newAPT(ctx, filepath.Join(s.Cache, "apt", s.Suite+"-"+s.Arch), s.Suite, s.Arch)
	if err != nil {
		return nil, err
	}
	if err := a.update(ctx); err != nil {
		return nil, err
	}
	// The package that is named depends on that of the version, and that one, in newer
	// releases, on others for kernel and modules.
	var names []string
	k := &Kernel{Source: *s}
	for todo := []string{s.name()}; len(todo) > 0; todo = todo[1:] {
		if slices.Contains(names, todo[0]) {
			continue
		}
		more, version, err := a.depends(ctx, todo[0])
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			k.Package = version
		}
		names = append(names, todo[0])
		todo = append(todo, more...)
	}
	debs, err := a.download(ctx, names)
	if err != nil {
		return nil, err
	}
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return nil, err
	}
	for _, deb := range debs {
		if err := unpack(ctx, deb, fresh); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
		defer os.RemoveAll(filepath.Dir(deb)) //nolint:errcheck // a copy
	}
	images, err := filepath.Glob(filepath.Join(fresh, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return nil, fmt.Errorf("the packages %s have %d kernels, not one", strings.Join(names, ", "), len(images))
	}
	k.Release = strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	if err := bootable(images[0]); err != nil {
		return nil, err
	}
	b, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(fresh, recordFile), b, 0o644); err != nil { //nolint:gosec // no secret
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	k.place(dir)
	return k, os.Rename(fresh, dir)
}

// unpack takes kernel, configuration and modules out of a package.
func unpack(ctx context.Context, deb, dir string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb) //nolint:gosec // just fetched
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = untar(out, func(name string) string {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "./"), "usr/")
		if rest, ok := strings.CutPrefix(name, "lib/modules/"); ok && strings.Contains(rest, "/") {
			release, file, _ := strings.Cut(rest, "/")
			if file == "vmlinuz" { // where newer packages have it
				return filepath.Join(dir, "boot", "vmlinuz-"+release)
			}
			return filepath.Join(dir, "modules", rest)
		}
		if rest, ok := strings.CutPrefix(name, "boot/"); ok && (strings.HasPrefix(rest, "vmlinuz-") || strings.HasPrefix(rest, "config-")) {
			return filepath.Join(dir, name)
		}
		return ""
	})
	_, _ = io.Copy(io.Discard, out)
	return errors.Join(err, cmd.Wait())
}

// untar writes the regular files of an archive where place says, "" for nowhere.
func untar(r io.Reader, place func(name string) string) error {
	return eachEntry(r, func(h *tar.Header, data io.Reader) (bool, error) {
		if h.Typeflag != tar.TypeReg {
			return false, nil
		}
		to := place(h.Name)
		if to == "" {
			return false, nil
		}
		return false, extract(h, data, to)
	})
}

func projectRoot(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	file := strings.TrimSpace(out)
	if file == "" || file == os.DevNull {
		return "", errors.New("run this inside of the project")
	}
	return filepath.Dir(file), nil
}
