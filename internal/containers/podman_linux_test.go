// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/identity"
)

// podman runs Podman with folders of its own. Nothing of it is left after the test.
type podman struct {
	dir      string
	monitors []int // pidfds
}

func newPodman(t *testing.T) *podman {
	t.Helper()
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it starts containers")
	}
	for _, program := range []string{"podman", "conmon"} {
		if _, err := exec.LookPath(program); err != nil {
			skip.Because(t, "needs "+program+" in PATH: Debian's podman has it")
		}
	}
	dir, err := os.MkdirTemp("", "podman") // a path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	p := &podman{dir: dir}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		out, err := p.command(ctx, "rm", "--all", "--force", "--time", "0").CombinedOutput()
		if err != nil {
			t.Errorf("remove the containers: %v\n%s", err, out)
		}
		// The monitor of a container tidies up after it, too.
		for _, fd := range p.monitors {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a file descriptor
			n, err := unix.Poll(poll, int(time.Minute.Milliseconds()))
			for errors.Is(err, unix.EINTR) {
				n, err = unix.Poll(poll, int(time.Minute.Milliseconds()))
			}
			if n != 1 {
				t.Errorf("wait for the end of a monitor: %v", err)
			}
			_ = unix.Close(fd)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		// Cgroups that Podman leaves, with those of its monitors, by hierarchy or in the only one.
		for _, pattern := range []string{"*/" + p.cgroup() + "/*", "*/" + p.cgroup(), p.cgroup() + "/*", p.cgroup()} {
			left, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", pattern))
			for _, c := range left {
				if err := unix.Rmdir(c); err != nil && !errors.Is(err, unix.ENOTDIR) { // files go with their cgroup
					t.Errorf("remove %s: %v", c, err)
				}
			}
		}
	})
	return p
}

// cgroup is the name of the parent of all of its cgroups.
func (p *podman) cgroup() string { return filepath.Base(p.dir) }

func (p *podman) command(ctx context.Context, args ...string) *exec.Cmd {
	in := func(name string) string { return filepath.Join(p.dir, name) }
	// What works in containers and without systemd, too.
	args = append([]string{
		"--root", in("root"), "--runroot", in("run"), "--tmpdir", in("tmp"), "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file",
	}, args...)
	return exec.CommandContext(ctx, "podman", args...) //nolint:gosec // of the test
}

func (p *podman) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := p.command(t.Context(), args...)
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("podman %q: %v\n%s", args, err, messages.String())
	}
	return strings.TrimSpace(string(out))
}

// image makes an image of a program and nothing else.
func (p *podman) image(t *testing.T, name, pkg string) {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "main"), pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	tar := filepath.Join(dir, "image.tar")
	if out, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-cf", tar, "main").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	p.run(t, "import", tar, name)
}

// start starts a container and returns its ID and its first process.
func (p *podman) start(t *testing.T, image string, args ...string) (id string, pid libpf.PID) {
	t.Helper()
	// Podman takes the limits of processes that systemd gives, which not every host allows.
	args = append([]string{"run", "-d", "--network", "none", "--cgroup-parent", "/" + p.cgroup(), "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}, args...)
	id = p.run(t, append(args, image, "/main", "-idle")...)
	var monitor int
	if _, err := fmt.Sscan(p.run(t, "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", id), &pid, &monitor); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(monitor, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.monitors = append(p.monitors, fd)
	return id, pid
}

// serve starts what systemd starts when somebody asks at Podman's socket.
func (p *podman) serve(t *testing.T, socket string) {
	t.Helper()
	cmd := p.command(context.Background(), "system", "service", "--time", "0", "unix://"+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// TestPodman finds processes in containers of a real Podman: the container by the kernel, and
// its names by the socket, which comes late.
func TestPodman(t *testing.T) {
	engine := newPodman(t)
	engine.image(t, "localhost/shop/web:3", "./testdata/busy")
	engine.run(t, "pod", "create", "--cgroup-parent", "/"+engine.cgroup(), "--infra=false", "--share", "", "--name", "shop")
	socket := filepath.Join(engine.dir, "docker.sock") // as the package podman-docker has it
	d := started(t, Options{Sockets: []string{socket}, Labels: []string{"team"}})
	who, err := identity.New(identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	processes := map[string]*libpf.Process{}
	for name, args := range map[string][]string{
		"private_1": {"--cgroupns", "private", "-l", "team=a", "-l", podmanProject + "=shop", "-l", composeService + "=web"},
		"shared_1":  {"--cgroupns", "host"},
		"in_pod_1":  {"--pod", "shop"},
	} {
		id, pid := engine.start(t, "localhost/shop/web:3", append(args, "--name", name)...)
		p := who.Process(pid, "")
		if p.ContainerID != id || p.ContainerName != "" {
			t.Errorf("%s: its process is in container %q %q, want %q", name, p.ContainerID, p.ContainerName, id)
		}
		if d.Describe(p) != p {
			t.Errorf("%s is known to nobody", name)
		}
		processes[name] = p
	}
	engine.serve(t, socket)
	for name, p := range processes {
		got := described(t, d, p, named)
		service, project, team := name, "", ""
		if name == "private_1" {
			service, project, team = "web", "shop", "a"
		}
		if got.ContainerName != name || got.Service != service {
			t.Errorf("%s: container %q, service %q", name, got.ContainerName, got.Service)
		}
		for key, want := range map[string]string{
			LabelImage: "localhost/shop/web", LabelImageTag: "3", LabelRuntime: "podman",
			LabelComposeProject: project, "container.label.team": team,
		} {
			if value := label(got, key); value != want {
				t.Errorf("%s: %s is %q, want %q", name, key, value, want)
			}
		}
	}
}
