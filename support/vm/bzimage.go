// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// WithoutTypes returns the kernel as if it were built without CONFIG_DEBUG_INFO_BTF: where
// it asks for its type information there is none, and the numbers of types that the
// build put into it are 0. Only the file /sys/kernel/btf/vmlinux stays, for the guest to
// hide. It is for x86-64 alone, whose kernels are booted as ELF files by the entry that
// they have for Xen (PVH). The kernel is booted once, to ask where its functions are.
func (k *Kernel) WithoutTypes(ctx context.Context) (*Kernel, error) {
	b, err := os.ReadFile(k.Image)
	if err != nil {
		return nil, err
	}
	plain, err := vmlinux(b)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.Image, err)
	}
	const ask = "bpf_get_btf_vmlinux" // kernel/bpf/verifier.c
	at, err := k.address(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: where is %s: %w", k.Image, ask, err)
	}
	if err := breakTypes(plain, at); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.Image, err)
	}
	out := *k
	out.Image = filepath.Join(filepath.Dir(k.Image), "vmlinux-without-types-"+k.Release)
	return &out, os.WriteFile(out.Image, plain, 0o644) //nolint:gosec // no secret
}

// address returns where the kernel's file has a function.
func (k *Kernel) address(ctx context.Context, function string) (uint64, error) {
	dir, err := os.MkdirTemp("", "strobe-symbols")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // ours
	grep, err := exec.LookPath("grep")
	if err != nil {
		return 0, err
	}
	t, err := NewTree(filepath.Join(dir, "tree"))
	if err != nil {
		return 0, err
	}
	if err := t.AddProgram(grep); err != nil {
		return 0, err
	}
	root := filepath.Join(dir, "image")
	if err := t.Image(ctx, root); err != nil {
		return 0, err
	}
	m := Machine{Kernel: k, Root: root, Append: []string{"nokaslr"}}
	var out bytes.Buffer
	if _, err := m.Run(ctx, Command{Args: []string{"grep", " T " + function + "$", "/proc/kallsyms"}, Output: &out}); err != nil {
		return 0, err
	}
	at, err := strconv.ParseUint(strings.TrimSuffix(out.String(), " T "+function+"\n"), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("its symbols have %q", out.String())
	}
	return at, nil
}

// vmlinux unpacks the kernel that an image for x86 unpacks when it boots. Where it is in
// the image: Documentation/arch/x86/boot.rst of Linux, protocol 2.08.
func vmlinux(image []byte) ([]byte, error) {
	const sectors, magic, version, payload, headerEnd = 0x1f1, 0x202, 0x206, 0x248, 0x250
	if len(image) < headerEnd || string(image[magic:magic+4]) != "HdrS" {
		return nil, errors.New("no image for x86")
	}
	if v := binary.LittleEndian.Uint16(image[version:]); v < 0x208 {
		return nil, fmt.Errorf("boot protocol %#x does not say where the payload is", v)
	}
	setup := uint64(image[sectors])
	if setup == 0 { // as in images from before there was a number
		setup = 4
	}
	from := (setup+1)*512 + uint64(binary.LittleEndian.Uint32(image[payload:]))
	size := uint64(binary.LittleEndian.Uint32(image[payload+4:]))
	const sizeAfter = 4 // the linker's script has the size of what is packed behind it
	if size < sizeAfter || from+size > uint64(len(image)) {
		return nil, errors.New("its payload is beyond its end")
	}
	packed := image[from : from+size-sizeAfter]
	return decompress(compression(packed), packed)
}

// compression tells the kinds that decompressor has by their first bytes; for others it
// returns these bytes.
func compression(packed []byte) string {
	for kind, magic := range map[string]string{"gzip": "\x1f\x8b", "xz": "\xfd7zXZ\x00", "zstd": "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(packed, []byte(magic)) {
			return kind
		}
	}
	return fmt.Sprintf("% x", packed[:min(4, len(packed))])
}

// breakTypes makes the function at an address return NULL and clears the numbers of
// types, in a kernel's ELF file.
func breakTypes(kernel []byte, at uint64) error {
	f, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return err
	}
	ids := f.Section(".BTF_ids")
	if ids == nil || ids.Type != elf.SHT_PROGBITS || ids.Offset > uint64(len(kernel)) || ids.Size > uint64(len(kernel))-ids.Offset {
		return errors.New("it has no type information")
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || at < p.Vaddr || at-p.Vaddr >= p.Filesz || p.Off > uint64(len(kernel)) || at-p.Vaddr >= uint64(len(kernel))-p.Off {
			continue
		}
		code := kernel[p.Off+at-p.Vaddr:]
		// ftrace must find its call where the build put it: endbr64; call __fentry__.
		const call = "\xf3\x0f\x1e\xfa\xe8"
		const start = len(call) + 4
		const end = "\x31\xc0\xc3" // xor %eax,%eax; ret
		if !bytes.HasPrefix(code, []byte(call)) || len(code) < start+len(end) {
			break
		}
		copy(code[start:], end)
		clear(kernel[ids.Offset : ids.Offset+ids.Size])
		return nil
	}
	return fmt.Errorf("no function that is traced begins at %#x", at)
}
