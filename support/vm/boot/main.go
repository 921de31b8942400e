// SPDX-License-Identifier: Apache-2.0

// Command boot runs one command in a guest with a kernel of Debian, for a look by hand:
//
//	go run ./support/vm/boot -suite sid -tree ./root -- /bin/sh -c 'uname -a'
//
// Without -tree and -image the guest has what the command needs itself: it is copied
// there with its libraries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/support/vm"
)

func main() {
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "boot:", err)
		status = 125
	}
	os.Exit(status)
}

func run() (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var s vm.Source
	var m vm.Machine
	var c vm.Command
	flag.StringVar(&s.Suite, "suite", "bookworm", "Debian's `release` that has the kernel")
	flag.StringVar(&s.Arch, "arch", "amd64", "amd64 or arm64")
	flag.StringVar(&s.Flavour, "flavour", "cloud", "cloud or generic")
	flag.BoolVar(&s.Update, "update", false, "look for a newer package")
	flag.StringVar(&m.Root, "image", "", "ext4 image to use as root")
	tree := flag.String("tree", "", "`folder` to make the root of")
	flag.IntVar(&m.MemoryMB, "memory", 0, "memory in MB (default 1024)")
	flag.IntVar(&m.CPUs, "cpus", 0, "number of CPUs (default 2)")
	flag.StringVar(&m.Cgroup, "cgroup", "v2", "v2, v1 or hybrid")
	flag.BoolVar(&m.NoPMU, "no-pmu", false, "hide the CPU's counters")
	flag.BoolVar(&m.Emulate, "emulate", false, "do not use KVM")
	arguments := flag.String("qemu", "", "further arguments of qemu, such as '-cpu max'")
	words := flag.String("append", "", "words for the kernel's command line")
	flag.DurationVar(&c.Limit, "limit", 2*time.Minute, "time for the command")
	verbose := flag.Bool("v", false, "print the kernel's messages and the times as well")
	flag.Parse()
	if c.Args = flag.Args(); len(c.Args) == 0 {
		return 0, errors.New("which command? boot [flags] -- command [argument...]")
	}
	m.Append, m.QEMU, c.Output = strings.Fields(*words), strings.Fields(*arguments), os.Stdout
	var err error
	if m.Kernel, err = vm.Fetch(ctx, s); err != nil {
		return 0, err
	}
	if m.Root == "" {
		dir, err := os.MkdirTemp("", "strobe-boot")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // ours
		m.Root = filepath.Join(dir, "image")
		if err := image(ctx, *tree, filepath.Join(dir, "tree"), m.Root, c.Args[0]); err != nil {
			return 0, err
		}
	}
	r, err := m.Run(ctx, c)
	if err != nil {
		return 0, err
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(os.Stderr, "boot:", w)
	}
	if *verbose {
		fmt.Fprintf(os.Stderr, "%s\nkernel %s (%s), boot %v, command %v, status %d\n",
			r.Console, r.Kernel, m.Kernel.Package, r.Boot, r.Run, r.Status)
	}
	if r.TimedOut {
		return 124, errors.New("the command's time was over")
	}
	return r.Status, nil
}

// image makes the root: of a folder, or of the command alone.
func image(ctx context.Context, from, dir, file, command string) error {
	t, err := vm.NewTree(dir)
	if err != nil {
		return err
	}
	if from != "" {
		if err := t.Copy(from, "/"); err != nil {
			return err
		}
	} else {
		path, err := exec.LookPath(command)
		if err != nil {
			return err
		}
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		if err := t.AddProgram(path); err != nil {
			return err
		}
	}
	return t.Image(ctx, file)
}
