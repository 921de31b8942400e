// SPDX-License-Identifier: Apache-2.0

// Package vm boots Debian's kernels in qemu and runs a command in them, so that
// what depends on the kernel is tried on more kernels than the one at hand.
//
// [Fetch] brings a kernel as Debian ships it, through apt and from the mirror that
// this host's own apt uses, so that the archive's signature is checked by apt. A
// [Tree] gathers programs with their libraries and becomes a file system image;
// [Machine.Run] boots kernel and image and runs one command as root:
//
//	k, err := vm.Fetch(ctx, vm.Source{Suite: "bookworm", Arch: "amd64"})
//	tree, err := vm.NewTree(dir)
//	err = tree.AddProgram("/usr/bin/python3.11")
//	err = tree.Image(ctx, "root.img")
//	m := vm.Machine{Kernel: k, Root: "root.img"}
//	r, err := m.Run(ctx, vm.Command{Args: []string{"python3.11", "--version"}, Output: os.Stdout})
//
// The guest has no network but loopback and cannot change anything of the host: its
// root is read only, below /tmp, /run, /root and /var it writes to memory. A small
// program of this repository is its init: it loads the drivers, mounts what a
// distribution mounts, runs the command, hands back its output, exit status and
// files over virtio ports, and powers off. A guest that hangs is killed.
//
// The same architecture runs under KVM where the CPU's virtualisation can be used. All
// else is emulated, which is some ten times slower; [Machine.Accelerated] tells.
// Needed are qemu-system-x86 or qemu-system-arm, e2fsprogs, and apt of Debian.
//
//	go run ./support/vm/boot -suite bookworm -- uname -a
package vm
