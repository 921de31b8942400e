// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/skip"
)

const (
	// roleVar makes the program of the tests the first process of a host, or an agent in a
	// container of it; answerVar is where it says what came of that.
	roleVar   = "STROBE_TEST_CGROUP_ROLE"
	answerVar = "STROBE_TEST_CGROUP_ANSWER"
	pidsVar   = "STROBE_TEST_CGROUP_PIDS"

	unified = "/sys/fs/cgroup"
)

// seen is what is told of a process, by somebody.
type seen struct {
	ContainerID, PodUID string
	CgroupID            uint64
}

// kernelAnswer is by the cgroup of a process.
type kernelAnswer struct {
	Error              string
	Want               map[string]seen
	OnHost, InsideOfIt map[string]seen
}

// TestKernelCgroups asks for processes in control groups of this kernel where the unified
// hierarchy is the only one that is mounted: as the host sees them, and as an agent in a container
// does that is in a cgroup namespace of its own.
func TestKernelCgroups(t *testing.T) {
	switch os.Getenv(roleVar) {
	case "host":
		tell(t, asHost())
		return
	case "container":
		tell(t, asContainer())
		return
	}
	skip.UnlessRoot(t)
	file := filepath.Join(t.TempDir(), "answer")
	cmd := again("host", file)
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	answer := hear(t, file)
	if answer.Error != "" {
		t.Fatal(answer.Error)
	}
	if d := cmp.Diff(answer.Want, answer.OnHost); d != "" {
		t.Errorf("on the host (-want +got):\n%s", d)
	}
	if d := cmp.Diff(answer.Want, answer.InsideOfIt); d != "" {
		t.Errorf("from within a container (-want +got):\n%s", d)
	}
}

// again runs this test in another role.
func again(role, file string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelCgroups$", "-test.v") //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), roleVar+"="+role, answerVar+"="+file)
	return cmd
}

func tell(t *testing.T, a kernelAnswer) {
	t.Helper()
	b, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(os.Getenv(answerVar), b, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

func hear(t *testing.T, file string) (a kernelAnswer) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// asHost mounts what a host of today has, starts containers as runtimes do, and asks for them.
func asHost() (a kernelAnswer) {
	fail := func(err error) kernelAnswer { return kernelAnswer{Error: err.Error()} }
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fail(fmt.Errorf("mount proc: %w", err))
	}
	if err := mountUnified(); err != nil {
		return fail(err)
	}
	// Containers of agents often have the host's tree beside their own.
	beside := os.Getenv(answerVar) + ".cgroup"
	if err := errors.Join(os.Mkdir(beside, 0o700), unix.Mount(unified, beside, "", unix.MS_BIND, "")); err != nil {
		return fail(err)
	}
	root := filepath.Join(unified, "strobe-test-"+strconv.FormatInt(int64(inode("/proc/self/ns/pid")), 10))
	defer removeCgroups(root)
	pod := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidUnderscores + ".slice"
	agent, beside := pod+"/cri-containerd-"+idA+".scope", pod+"/crio-"+idB+".scope"
	nested := "/system.slice/docker-" + idB + ".scope/docker/" + idC
	service := "/system.slice/cron.service"
	a.Want = map[string]seen{
		agent: {ContainerID: idA, PodUID: uid}, beside: {ContainerID: idB, PodUID: uid}, nested: {ContainerID: idC}, service: {},
	}
	pids := map[string]int{}
	for cgroup, want := range a.Want {
		dir := filepath.Join(root, cgroup)
		var flags uintptr
		if want.ContainerID != "" {
			flags = unix.CLONE_NEWCGROUP
		}
		cmd := exec.Command("/bin/sleep", "600")
		if err := startIn(dir, cmd, flags); err != nil {
			return fail(err)
		}
		defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
		pids[cgroup] = cmd.Process.Pid
		want.CgroupID = inode(dir)
		a.Want[cgroup] = want
	}
	var err error
	if a.OnHost, err = resolveAll(pids); err != nil {
		return fail(err)
	}
	// The agent comes into the container of a process that is asked for.
	file := os.Getenv(answerVar) + ".inside"
	cmd := again("container", file)
	b, err := json.Marshal(pids)
	if err != nil {
		return fail(err)
	}
	cmd.Env = append(cmd.Env, pidsVar+"="+string(b))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := startIn(filepath.Join(root, agent), cmd, unix.CLONE_NEWCGROUP|unix.CLONE_NEWNS); err != nil {
		return fail(err)
	}
	if err := cmd.Wait(); err != nil {
		return fail(fmt.Errorf("the agent in a container: %w: %s", err, said.String()))
	}
	var inside kernelAnswer
	if b, err = os.ReadFile(file); err == nil {
		err = json.Unmarshal(b, &inside)
	}
	a.InsideOfIt, a.Error = inside.InsideOfIt, inside.Error
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// asContainer asks from within a cgroup namespace.
func asContainer() (a kernelAnswer) {
	pids := map[string]int{}
	err := json.Unmarshal([]byte(os.Getenv(pidsVar)), &pids)
	if err == nil {
		err = mountUnified()
	}
	if err == nil {
		a.InsideOfIt, err = resolveAll(pids)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// mountUnified makes the unified hierarchy the only one that is mounted.
func mountUnified() error {
	for { // mounts may lie upon each other
		err := unix.Unmount(unified, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) {
			break
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", unified, err)
		}
	}
	if err := unix.Mount("cgroup2", unified, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount cgroup2: %w", err)
	}
	return nil
}

// startIn starts a program in a new cgroup, or in one that is there.
func startIn(dir string, cmd *exec.Cmd, flags uintptr) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as runtimes do
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only its number is used
	// The namespace is made after the move, so that the cgroup becomes its root.
	cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd()), Unshareflags: flags}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s in %s: %w", cmd.Path, dir, err)
	}
	return nil
}

func resolveAll(pids map[string]int) (map[string]seen, error) {
	r, err := New(Options{ReadTimeout: unhurried})
	if err != nil {
		return nil, err
	}
	out := map[string]seen{}
	for cgroup, pid := range pids {
		p := r.Process(libpf.PID(pid), "") //nolint:gosec // not negative
		s := seen{ContainerID: p.ContainerID, CgroupID: p.CgroupID}
		for _, l := range p.Labels {
			if l.Key == "k8s.pod.uid" {
				s.PodUID = l.Value
			}
		}
		out[cgroup] = s
	}
	return out, nil
}

// removeCgroups removes a tree of empty ones, the innermost first.
func removeCgroups(root string) {
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if e.IsDir() {
			removeCgroups(filepath.Join(root, e.Name()))
		}
	}
	_ = os.Remove(root)
}
