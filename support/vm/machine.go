// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/support/vm/internal/wire"
)

// Machine describes a guest. It may be used for several runs, at the same time too.
type Machine struct {
	Kernel *Kernel
	// Root is the image of a file system that becomes the root, read only; "" leaves
	// the initramfs as root, with nothing in it but Command.Files.
	Root string
	// RootType is its type, "" for ext4. What is not built into the kernel must be
	// named in Modules.
	RootType string
	// MemoryMB and CPUs default to 1024 and 2.
	MemoryMB, CPUs int
	// Append are further words of the kernel's command line, such as
	// lockdown=integrity.
	Append []string
	// Modules are loaded besides the drivers of the devices.
	Modules []string
	// Cgroup is how control groups are mounted: v2, which is the default, v1 or hybrid.
	Cgroup string
	// Without are mount points that stay empty, such as /sys/kernel/tracing.
	Without []string
	// NoPMU hides the CPU's counters. An emulated CPU of x86-64 has none anyway.
	NoPMU bool
	// Emulate does not use KVM although it is there.
	Emulate bool
	// QEMU are further arguments of qemu.
	QEMU []string
}

// Command is what a guest runs.
type Command struct {
	// Args are the program, looked for in PATH, and its arguments. It runs as root.
	Args []string
	// Env is its environment; PATH, HOME and TMPDIR are there unless they are given.
	Env []string
	Dir string
	// Files are brought into the guest: their path there, below /run, /tmp, /root or
	// /var when there is a Root, to a file of the host. They are held in memory.
	Files map[string]string
	// Limit ends the command; 0 means two minutes. What runs longer is killed in the
	// guest; a guest that does not even start it gets two minutes more, ten if
	// emulated, before it is killed itself.
	Limit time.Duration
	// Output takes what it writes to standard output and error, as it comes.
	Output io.Writer
	// Collect are files and folders to bring back into CollectDir.
	Collect    []string
	CollectDir string
}

// Result is what became of a command.
type Result struct {
	// Status is its exit status; 128 and the number of the signal that ended it.
	Status int
	// TimedOut is set when its time was over. Its files were collected all the same.
	TimedOut bool
	// Kernel is what uname -r says.
	Kernel string
	// Boot is the time from the kernel's start to the command's, Run what it took.
	Boot, Run time.Duration
	// Warnings say what could not be mounted or collected.
	Warnings []string
	// Console is the end of the kernel's messages.
	Console string
}

// ErrNoQEMU is returned when the program for the architecture is not installed.
var ErrNoQEMU = errors.New("qemu is not installed")

// Accelerated tells whether the guest runs on this CPU rather than being emulated.
func (m *Machine) Accelerated() bool {
	if m.Emulate || m.Kernel.Arch != runtime.GOARCH {
		return false
	}
	if runtime.GOARCH == "amd64" && !exists("/sys/module/kvm_intel") && !exists("/sys/module/kvm_amd") {
		// Other kinds of KVM, such as that of a host without nested virtualisation, run
		// kernels that were made for them; ours hang there before their first message.
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Run boots the guest, runs the command and waits for the end of both. An error means
// that there is no exit status; its text has the end of the kernel's messages.
func (m *Machine) Run(ctx context.Context, c Command) (*Result, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("run a guest: Command.Args is empty")
	}
	if c.Limit == 0 {
		c.Limit = 2 * time.Minute
	}
	dir, err := os.MkdirTemp("", "strobe-vm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // ours
	initrd := filepath.Join(dir, "initrd")
	if err := m.writeInitramfs(ctx, initrd, &c); err != nil {
		return nil, err
	}
	qemu, args, err := m.arguments(initrd)
	if err != nil {
		return nil, err
	}
	grace := 2 * time.Minute
	if !m.Accelerated() {
		grace = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, c.Limit+grace)
	defer cancel()
	return m.start(ctx, exec.CommandContext(ctx, qemu, args...), &c) //nolint:gosec // qemu
}

func (m *Machine) writeInitramfs(ctx context.Context, file string, c *Command) error {
	w := &wire.Config{
		Cgroup: m.Cgroup, Without: m.Without, Hostname: "strobe-vm", Time: time.Now().Unix(),
		Args: c.Args, Env: environment(c.Env), Dir: c.Dir, Seconds: int(c.Limit.Seconds()), Collect: c.Collect,
	}
	if m.Root != "" {
		if w.Root = m.RootType; w.Root == "" {
			w.Root = "ext4"
		}
	}
	f, err := os.Create(file) //nolint:gosec // ours
	if err != nil {
		return err
	}
	return errors.Join(m.initramfs(ctx, f, w, c.Files), f.Close())
}

func environment(env []string) []string {
	out := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp"}
	for i := range out {
		name, _, _ := strings.Cut(out[i], "=")
		for _, e := range env {
			if strings.HasPrefix(e, name+"=") {
				out[i] = e
			}
		}
	}
	return append(out, env...)
}

// arguments returns qemu and how it is called. Files 3, 4 and 5 take console, output
// and result.
func (m *Machine) arguments(initrd string) (qemu string, args []string, err error) {
	memory, cpus := m.MemoryMB, m.CPUs
	if memory == 0 {
		memory = 1024
	}
	if cpus == 0 {
		cpus = 2
	}
	var cpu, console, machine string
	name := "qemu-system-x86_64"
	switch m.Kernel.Arch {
	case "amd64":
		// The emulation of cmpxchg16b leaves a pointer in the flags, at times and on some
		// hosts: seen with qemu 7.2 and Linux 6.12, whose allocator uses the instruction
		// where the CPU has it. No guest needs it.
		machine, console, cpu = "q35", "ttyS0", "max,la57=off,cx16=off"
		if m.Accelerated() {
			// A host that is a guest itself may refuse to have this register set.
			cpu = "host,arch-capabilities=off"
		}
		if m.NoPMU {
			cpu += ",pmu=off"
		}
	case "arm64":
		// The architected algorithm for signed pointers takes most of the time of a
		// guest that is emulated.
		name, machine, console, cpu = "qemu-system-aarch64", "virt", "ttyAMA0", "max,pauth-impdef=on"
		if m.Accelerated() {
			cpu = "host"
		}
		if m.NoPMU {
			cpu += ",pmu=off"
		}
	default:
		return "", nil, fmt.Errorf("architecture %q: use amd64 or arm64", m.Kernel.Arch)
	}
	if qemu, err = exec.LookPath(name); err != nil {
		return "", nil, fmt.Errorf("%w: %s", ErrNoQEMU, name)
	}
	accel := "tcg,thread=multi"
	if m.Accelerated() {
		accel = "kvm"
	}
	line := []string{"console=" + console, "panic=-1", "loglevel=4", "cryptomgr.notests"}
	if !m.Accelerated() {
		// A busy host stops the guest's clocks for long: what the kernel finds out about
		// its timers then is not to be believed. Page tables that are switched at every
		// system call take most of an emulated one's time.
		line = append(line, "no_timer_check", "mitigations=off", "nowatchdog", "rcupdate.rcu_cpu_stall_suppress=1")
	}
	line = append(line, m.Append...)
	args = []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", machine, "-accel", accel, "-cpu", cpu, "-m", strconv.Itoa(memory), "-smp", strconv.Itoa(cpus),
		"-kernel", m.Kernel.Image, "-initrd", initrd, "-append", strings.Join(line, " "),
		"-chardev", "file,id=console,path=/proc/self/fd/3", "-serial", "chardev:console",
		"-device", "virtio-serial-pci",
		"-chardev", "file,id=output,path=/proc/self/fd/4", "-device", "virtserialport,chardev=output,name=" + wire.OutputPort,
		"-chardev", "file,id=result,path=/proc/self/fd/5", "-device", "virtserialport,chardev=result,name=" + wire.ResultPort,
	}
	if m.Root != "" {
		args = append(args, "-drive", "file="+m.Root+",format=raw,if=none,id=root,readonly=on,cache=unsafe",
			"-device", "virtio-blk-pci,drive=root")
	}
	return qemu, append(args, m.QEMU...), nil
}

// start runs qemu and reads what comes out of it until it ends.
func (m *Machine) start(ctx context.Context, cmd *exec.Cmd, c *Command) (*Result, error) {
	output := c.Output
	if output == nil {
		output = io.Discard
	}
	console := &tail{limit: 16 << 10}
	var reading sync.WaitGroup
	var result *wire.Result
	var resultErr error
	var ours, theirs []*os.File
	defer func() {
		for _, f := range append(ours, theirs...) {
			_ = f.Close()
		}
	}()
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	var said bytes.Buffer
	cmd.ExtraFiles, cmd.Stderr, cmd.Stdout = theirs, &said, &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start qemu: %w", err)
	}
	for _, w := range theirs {
		_ = w.Close()
	}
	reading.Go(func() { _, _ = io.Copy(console, ours[0]) })
	reading.Go(func() {
		_, _ = io.Copy(output, ours[1])
		_, _ = io.Copy(io.Discard, ours[1]) // a writer that fails must not stop the guest
	})
	reading.Go(func() {
		result, resultErr = receive(ours[2], c.CollectDir)
		_, _ = io.Copy(io.Discard, ours[2])
	})
	reading.Wait()
	err := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the guest was ended after %v: %w\n%s", c.Limit, ctx.Err(), console.text())
	case err != nil:
		return nil, fmt.Errorf("qemu: %w: %s\n%s", err, bytes.TrimSpace(said.Bytes()), console.text())
	case resultErr != nil:
		return nil, fmt.Errorf("the guest gave no result: %w\n%s", resultErr, console.text())
	case result.Error != "":
		return nil, fmt.Errorf("in the guest: %s\n%s", result.Error, console.text())
	}
	return &Result{
		Status: result.Status, TimedOut: result.TimedOut, Kernel: result.Kernel, Warnings: result.Warnings,
		Boot: seconds(result.BootSeconds), Run: seconds(result.Seconds), Console: console.text(),
	}, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// receive reads the archive that a guest hands back.
func receive(r io.Reader, dir string) (*wire.Result, error) {
	var b bytes.Buffer
	err := untarTo(r, dir, &b)
	if err != nil {
		return nil, err
	}
	if b.Len() == 0 {
		return nil, errors.New("it ended before its command")
	}
	out := &wire.Result{}
	return out, json.Unmarshal(b.Bytes(), out)
}

// untarTo writes files below dir, unless it is "", and the last one to result.
func untarTo(r io.Reader, dir string, result *bytes.Buffer) error {
	return eachEntry(r, func(h *tar.Header, data io.Reader) (bool, error) {
		if h.Name == wire.ResultFile {
			_, err := io.Copy(result, io.LimitReader(data, 1<<20))
			return true, err
		}
		if dir == "" {
			return false, nil
		}
		return false, extract(h, data, filepath.Join(dir, h.Name))
	})
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	b     []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > t.limit {
		t.b = append(t.b[:0], t.b[len(t.b)-t.limit:]...)
	}
	return len(p), nil
}

func (t *tail) text() string { return strings.TrimSpace(strings.ReplaceAll(string(t.b), "\r", "")) }
