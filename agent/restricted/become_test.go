// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// becomeVar makes the test binary restrict itself as its value says and become
// another program.
const becomeVar = "STROBE_RESTRICTED_BECOME"

// restriction is what is taken away. The zero value is nothing.
type restriction struct {
	// Capabilities are those that remain; nil for all.
	Capabilities []int
	// Nobody is another user than root, whom the capabilities are given as systemd does.
	Nobody bool
	// User is who that is, 0 for the one that is called nobody.
	User int
	// UserNamespace makes the agent root of one of its own.
	UserNamespace bool
	// PIDNamespace is one of its own, with its own /proc.
	PIDNamespace bool
	// HostProc leaves it the /proc of the host.
	HostProc bool
	// Hidden directories are empty.
	Hidden []string
	// Small directories are disks of their own of a few megabytes.
	Small []string
	// Unmounted directories are no mounts any more.
	Unmounted []string
	// ReadOnly makes the whole tree read-only.
	ReadOnly bool
	// HidePID mounts /proc so that each user sees his own processes only.
	HidePID bool
	// Limits are bounds of resources, by RLIMIT_.
	Limits map[int]uint64
	// Refused is a system call that a filter refuses, 0 for none.
	Refused int
	// Unmappable are the kernel's types, as they are before Linux 6.16: no file can be mapped
	// for the process alone.
	Unmappable bool
	// Cgroups are directories that the agent moves into.
	Cgroups []string
	// Root is its directory of everything.
	Root string
	// Before runs in its namespaces before it is restricted.
	Before []string
}

// command returns a program that runs as the restriction says.
func (r *restriction) command(ctx context.Context, t testing.TB, path string, args ...string) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{path}, args...)...)
	// Settings of whoever runs the test are not those of the agent.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STROBE_AGENT_") })
	cmd.Env = append(cmd.Env, becomeVar+"="+string(b))
	flags := uintptr(syscall.CLONE_NEWNS)
	if r.PIDNamespace {
		flags |= syscall.CLONE_NEWPID
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if r.UserNamespace {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{Size: 1}}
	}
	return cmd
}

// result is how a program ended.
type result struct {
	stdout, stderr string
	status         int
}

// run runs the agent as the restriction says.
func (r *restriction) run(t testing.TB, args ...string) result {
	t.Helper()
	return r.runProgram(t, agent, args...)
}

func (r *restriction) runProgram(t testing.TB, path string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := r.command(ctx, t, path, args...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() == 125 || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("agent %q: %v\n%s", args, cmd.ProcessState, messages.String())
	}
	return result{out.String(), messages.String(), cmd.ProcessState.ExitCode()}
}

// become restricts this process and executes the arguments. It returns only on errors.
func become() error {
	runtime.LockOSThread()
	var r restriction
	if err := json.Unmarshal([]byte(os.Getenv(becomeVar)), &r); err != nil {
		return err
	}
	if err := os.Unsetenv(becomeVar); err != nil {
		return err
	}
	for _, dir := range r.Cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o600); err != nil {
			return err
		}
	}
	if err := r.mounts(); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	for _, line := range r.Before {
		cmd := exec.Command("sh", "-c", line) //nolint:gosec // ours
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	for what, value := range r.Limits {
		limit := &unix.Rlimit{Cur: value, Max: value}
		if err := unix.Setrlimit(what, limit); err != nil {
			return fmt.Errorf("limit %d: %w", what, err)
		}
	}
	if err := r.capabilities(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if r.Refused != 0 {
		if err := refuse(r.Refused, unix.EPERM); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	if r.Unmappable {
		if err := refuse(unix.SYS_MMAP, unix.ENODEV, argument{3, unix.MAP_PRIVATE}); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	return unix.Exec(os.Args[1], os.Args[1:], os.Environ())
}

func (r *restriction) mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if (r.PIDNamespace && !r.HostProc) || r.HidePID {
		options := ""
		if r.HidePID {
			options = "hidepid=2"
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, options); err != nil {
			return err
		}
	}
	for _, dir := range r.Unmounted {
		for err := error(nil); err == nil; { // as often as something is mounted
			err = unix.Unmount(dir, unix.MNT_DETACH)
		}
	}
	for _, dir := range r.Hidden {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	for _, dir := range r.Small {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=755"); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	if r.ReadOnly {
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, attr); err != nil {
			return err
		}
	}
	if r.Root != "" {
		for _, dir := range []string{"proc", "sys"} {
			if err := unix.Mount("/"+dir, filepath.Join(r.Root, dir), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
				return err
			}
		}
		if err := unix.Chroot(r.Root); err != nil {
			return err
		}
		return unix.Chdir("/")
	}
	return nil
}

// capabilities takes all others away, and root if so asked.
func (r *restriction) capabilities() error {
	if r.Capabilities == nil {
		return nil
	}
	keep := uint64(0)
	for _, c := range r.Capabilities {
		keep |= 1 << c
	}
	for n := range uintptr(64) {
		if keep&(1<<n) != 0 {
			continue
		}
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, n, 0, 0, 0); err != nil {
			break // there are no more
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0); err != nil {
			return err
		}
	}
	if r.Nobody {
		user := cmp.Or(r.User, nobody)
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return err
		}
		for _, call := range []func() error{
			func() error { return unix.Setgroups(nil) },
			func() error { return unix.Setresgid(user, user, user) },
			func() error { return unix.Setresuid(user, user, user) },
		} {
			if err := call(); err != nil {
				return err
			}
		}
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		half := uint32(keep >> (32 * i)) //nolint:gosec // half of it
		data[i] = unix.CapUserData{Effective: half, Permitted: half, Inheritable: half}
	}
	if err := unix.Capset(header, &data[0]); err != nil {
		return err
	}
	if !r.Nobody {
		return nil // what root executes gets what is left
	}
	for _, c := range r.Capabilities {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil { //nolint:gosec // small
			return err
		}
	}
	return nil
}

const nobody = 65534

// argument is one that a system call is given.
type argument struct{ n, value uint32 }

// refuse has a system call fail as the filters of container engines do: each, or those with
// all of the arguments.
func refuse(call int, errno syscall.Errno, with ...argument) error {
	// Offsets in struct seccomp_data: of the number, and of the lower half of the first argument.
	const number, first = 0, 16
	conditions := []argument{{number, uint32(call)}} //nolint:gosec // small
	for _, a := range with {
		conditions = append(conditions, argument{first + 8*a.n, a.value})
	}
	var filter []unix.SockFilter
	for i, c := range conditions {
		allow := uint8(2*(len(conditions)-1-i) + 1) //nolint:gosec // few
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: c.n},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: c.value, Jf: allow})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}, //nolint:gosec // small
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	code := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // few
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&code)), 0, 0)
}

// firstLine returns what people see first.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
