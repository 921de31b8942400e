// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// drivers are what a guest needs; a kernel that has one built in has no such module.
// ext4 asks for its checksum by name, not as a dependency.
var drivers = []string{"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console", "crc32c_generic", "ext4"}

// module is a kernel module, unpacked.
type module struct {
	name  string
	bytes []byte
}

// loadOrder returns the modules, those that they need before them. Packages have no
// modules.dep: it is made when they are installed.
func (k *Kernel) loadOrder(names []string) ([]module, error) {
	files := map[string]string{}
	err := filepath.WalkDir(k.Modules, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if base, _, ok := strings.Cut(d.Name(), ".ko"); ok {
			files[strings.ReplaceAll(base, "-", "_")] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("modules of kernel %s: %w", k.Release, err)
	}
	var out []module
	done := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		path, ok := files[name]
		if !ok || done[name] {
			return nil // built in, or known to be absent by what does not work without it
		}
		done[name] = true
		b, err := readModule(path)
		if err != nil {
			return fmt.Errorf("module %s: %w", path, err)
		}
		needs, err := modinfo(b, "depends")
		if err != nil {
			return fmt.Errorf("module %s: %w", path, err)
		}
		for need := range strings.SplitSeq(needs, ",") {
			if err := add(need); err != nil {
				return err
			}
		}
		out = append(out, module{name + ".ko", b})
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readModule(path string) ([]byte, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the cache
	if err != nil || strings.HasSuffix(path, ".ko") {
		return b, err
	}
	r, err := decompressor(strings.TrimPrefix(filepath.Ext(path), "."), bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// modinfo returns a value of the section that describes a module, "" if there is none.
func modinfo(b []byte, key string) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return "", nil
	}
	data, err := s.Data()
	if err != nil {
		return "", err
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		if k, v, ok := strings.Cut(field, "="); ok && k == key {
			return v, nil
		}
	}
	return "", nil
}
