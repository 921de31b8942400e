// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeProcess is what a process shows under a made-up /proc.
type fakeProcess struct {
	comm, exe, cgroup, environ, cmdline, mountinfo, mnt, uts string
	flags, start, envStart                                   uint64
}

// fakeProc makes a proc file system in a temporary directory.
type fakeProc struct {
	t    *testing.T
	root string
}

func newFakeProc(t *testing.T) *fakeProc {
	t.Helper()
	f := &fakeProc{t: t, root: t.TempDir()}
	f.write("self/mountinfo", "32 1 0:2 / "+filepath.Join(f.root, "cgroup")+" rw - cgroup2 cgroup2 rw\n")
	f.link("self/ns/uts", "uts:[1]")
	return f
}

func (f *fakeProc) write(path, content string) {
	f.t.Helper()
	path = filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeProc) link(path, target string) {
	f.t.Helper()
	path = filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeProc) add(pid int, p fakeProcess) {
	f.t.Helper()
	dir := strconv.Itoa(pid)
	f.write(dir+"/stat", statLine(p.comm, p.flags, p.start, p.envStart))
	if p.exe != "" {
		f.link(dir+"/exe", p.exe)
	}
	f.write(dir+"/cgroup", p.cgroup)
	f.write(dir+"/environ", p.environ)
	f.write(dir+"/cmdline", p.cmdline)
	f.write(dir+"/mountinfo", p.mountinfo)
	if p.mnt != "" {
		f.link(dir+"/ns/mnt", "mnt:["+p.mnt+"]")
	}
	if p.uts != "" {
		f.link(dir+"/ns/uts", "uts:["+p.uts+"]")
	}
}

// unhurried is an [Options.ReadTimeout] for tests that are not about it.
const unhurried = 5 * time.Minute

func (f *fakeProc) resolver(o Options) *Resolver {
	f.t.Helper()
	o.Root = f.root
	if o.ReadTimeout == 0 {
		o.ReadTimeout = unhurried
	}
	r, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// counted returns the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestProcess(t *testing.T) {
	t.Parallel()
	podMounts := "1 2 8:1 /var/lib/kubelet/pods/" + uid + "/etc-hosts /etc/hosts rw - ext4 /dev/x rw\n" +
		"1 2 8:1 /var/lib/kubelet/pods/" + uid + "/containers/web/1 /dev/termination-log rw - ext4 /dev/x rw\n"
	tests := map[string]struct {
		in   fakeProcess
		opts Options
		want libpf.Process
	}{
		"plain": {
			in:   fakeProcess{comm: "nginx", exe: "/nowhere/nginx", start: 5, cgroup: "0::/system.slice/nginx.service\n"},
			want: libpf.Process{Name: "nginx", Executable: "/nowhere/nginx", Service: "nginx"},
		},
		"kernel thread": {
			in:   fakeProcess{comm: "kworker/0:1", flags: flagKernelThread, start: 5, cgroup: "0::/\n"},
			want: libpf.Process{Name: "kworker/0:1", Service: KernelService},
		},
		"zombie": {
			in:   fakeProcess{comm: "sh", start: 5},
			want: libpf.Process{Name: "sh", Service: "sh"},
		},
		"service name": {
			in: fakeProcess{
				comm: "java", exe: "/nowhere/java", start: 5,
				environ: "OTEL_SERVICE_NAME=shop\x00OTEL_RESOURCE_ATTRIBUTES=service.name=other,deployment.environment=prod,service.namespace=eu\x00SECRET=x\x00",
			},
			want: libpf.Process{
				Name: "java", Executable: "/nowhere/java", Service: "shop", OwnService: true,
				Labels: []libpf.Label{{Key: "deployment.environment", Value: "prod"}, {Key: "service.namespace", Value: "eu"}},
			},
		},
		"resource attributes": {
			in: fakeProcess{
				comm: "node", exe: "/nowhere/node", start: 5,
				environ: "OTEL_RESOURCE_ATTRIBUTES=service.name=front%20end,k8s.pod.name=fe-1,k8s.namespace.name=shop,k8s.container.name=main,service.instance.id=123\x00",
			},
			want: libpf.Process{
				Name: "node", Executable: "/nowhere/node", Service: "front end", OwnService: true,
				PodName: "fe-1", Namespace: "shop", ContainerName: "main",
			},
		},
		"container": {
			in:   fakeProcess{comm: "app", exe: "/app", start: 5, cgroup: "0::/system.slice/docker-" + idA + ".scope\n"},
			want: libpf.Process{Name: "app", Executable: "/app", ContainerID: idA, Service: idA[:12]},
		},
		"private cgroup namespace": {
			in: fakeProcess{
				comm: "app", exe: "/app", start: 5, cgroup: "0::/\n", mnt: "77",
				mountinfo: "1 2 8:1 /var/lib/docker/containers/" + idB + "/hostname /etc/hostname rw - ext4 /dev/x rw\n",
			},
			want: libpf.Process{Name: "app", Executable: "/app", ContainerID: idB, Service: idB[:12]},
		},
		"pod": {
			in: fakeProcess{
				comm: "app", exe: "/app", start: 5, mnt: "77", uts: "2", mountinfo: podMounts,
				cgroup:  "0::/kubepods/pod" + uid + "/" + idA + "\n",
				environ: "HOSTNAME=web-7f6d\x00POD_NAMESPACE=shop\x00",
			},
			want: libpf.Process{
				Name: "app", Executable: "/app", ContainerID: idA, ContainerName: "web", PodName: "web-7f6d",
				Namespace: "shop", Service: "web", Labels: []libpf.Label{{Key: "k8s.pod.uid", Value: uid}},
			},
		},
		"pod in the host's network": {
			in: fakeProcess{
				comm: "app", exe: "/app", start: 5, uts: "1", cgroup: "0::/kubepods/pod" + uid + "/" + idA + "\n",
				environ: "HOSTNAME=node1\x00",
			},
			want: libpf.Process{
				Name: "app", Executable: "/app", ContainerID: idA, Service: idA[:12],
				Labels: []libpf.Label{{Key: "k8s.pod.uid", Value: uid}},
			},
		},
		"asked for more": {
			in: fakeProcess{comm: "app", exe: "/app (deleted)", start: 5, environ: "VERSION=7\x00env=x\x00", cmdline: "app\x00-v\x00\x00"},
			opts: Options{
				CommandLines: true, EnvVars: []string{"VERSION", "ABSENT"},
				Labels: []libpf.Label{{Key: "rack", Value: "a1"}, {Key: "env", Value: "prod"}},
			},
			want: libpf.Process{
				Name: "app", Executable: "/app", Service: "app", CommandLine: "app -v",
				Labels: []libpf.Label{
					{Key: "env", Value: "prod"},
					{Key: "process.environment_variable.VERSION", Value: "7"},
					{Key: "rack", Value: "a1"},
				},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeProc(t)
			f.add(42, test.in)
			r := f.resolver(test.opts)
			got := r.Process(42, "thread")
			want := test.want
			want.PID, want.StartTime = 42, test.in.start*userTick
			if diff := cmp.Diff(&want, got, cmpopts.EquateComparable(libpf.FileID{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again := r.Process(42, "thread"); again != got {
				t.Error("a second look at an unchanged process made another value")
			}
		})
	}
}

func TestProcessFollowsChanges(t *testing.T) {
	t.Parallel()
	f := newFakeProc(t)
	r := f.resolver(Options{})
	p := fakeProcess{comm: "sh", exe: "/nowhere/sh", start: 5, envStart: 1000, environ: "OTEL_SERVICE_NAME=one\x00"}
	f.add(42, p)
	first := r.Process(42, "sh")

	p.environ = "OTEL_SERVICE_NAME=scribbled\x00"
	f.add(42, p)
	if got := r.Process(42, "sh"); got != first {
		t.Errorf("the environment was read again: %+v", got)
	}
	p.cgroup = "0::/docker/" + idA + "\n"
	f.add(42, p)
	if got := r.Process(42, "sh"); got.ContainerID != idA || got.Service != "one" {
		t.Errorf("after a move to a container: %+v", got)
	}
	p.envStart = 2000
	f.add(42, p)
	if got := r.Process(42, "sh"); got.Service != "scribbled" {
		t.Errorf("after an exec of the same file: %+v", got)
	}
	p = fakeProcess{comm: "ls", exe: "/nowhere/ls", start: 9}
	f.add(42, p)
	f.write("42/environ", "")
	got := r.Process(42, "ls")
	if got.Service != "ls" || got.StartTime != 9*userTick {
		t.Errorf("after reuse of the PID: %+v", got)
	}
	if err := os.RemoveAll(filepath.Join(f.root, "42")); err != nil {
		t.Fatal(err)
	}
	if late := r.Process(42, "ls"); late != got {
		t.Errorf("a late sample of a process that ended: %+v", late)
	}
	if other := r.Process(42, "cat"); other.Service != "cat" || other.PID != 42 {
		t.Errorf("a process that was never seen: %+v", other)
	}
}

func TestProcessGone(t *testing.T) {
	t.Parallel()
	f := newFakeProc(t)
	registry := prometheus.NewRegistry()
	r := f.resolver(Options{Registerer: registry, Labels: []libpf.Label{{Key: "rack", Value: "a1"}}})
	if got := r.Process(7, ""); got.Service != "pid-7" || got.Name != "pid-7" || len(got.Labels) != 1 {
		t.Errorf("%+v", got)
	}
	if got := r.Process(0, "swapper/1"); got.Service != KernelService || got.Name != "swapper/1" {
		t.Errorf("%+v", got)
	}
	f.write("8/stat", "nonsense")
	if got := r.Process(8, "x"); got.Service != "x" {
		t.Errorf("%+v", got)
	}
	if n := counted(t, r.metrics.lookups.WithLabelValues("gone")); n != 2 {
		t.Errorf("%v processes counted as gone, want 2", n)
	}
	if n := counted(t, r.metrics.errors.WithLabelValues("stat")); n != 1 {
		t.Errorf("%v stat files counted as unreadable, want 1", n)
	}
	if families, err := registry.Gather(); err != nil || len(families) != 2 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
}

// TestStuckProcess gives a process whose memory cannot be read without waiting:
// its environ is a named pipe that nobody writes to.
func TestStuckProcess(t *testing.T) {
	t.Parallel()
	f := newFakeProc(t)
	f.add(42, fakeProcess{comm: "stuck", exe: "/nowhere/stuck", start: 5})
	pipe := filepath.Join(f.root, "42", "environ")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r := f.resolver(Options{ReadTimeout: time.Millisecond})
	if got := r.Process(42, "stuck"); got.Service != "stuck" {
		t.Errorf("%+v", got)
	}
	if n := counted(t, r.metrics.errors.WithLabelValues("timeout")); n != 1 {
		t.Errorf("%v timeouts, want 1", n)
	}
	// Let the read end, for the check for leaks.
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range maxStuckReads {
		r.reads.slots <- struct{}{}
	}
}

func TestCgroupID(t *testing.T) {
	t.Parallel()
	f := newFakeProc(t)
	f.write("cgroup/a/b/cgroup.procs", "")
	f.add(42, fakeProcess{comm: "x", exe: "/x", start: 5, cgroup: "0::/a/b\n"})
	f.add(43, fakeProcess{comm: "x", exe: "/x", start: 5, cgroup: "0::/not/visible\n"})
	r := f.resolver(Options{})
	if got, want := r.Process(42, "x").CgroupID, inode(filepath.Join(f.root, "cgroup/a/b")); got != want || want == 0 {
		t.Errorf("cgroup ID %d, want %d", got, want)
	}
	if got := r.Process(43, "x").CgroupID; got != 0 {
		t.Errorf("cgroup ID of an invisible cgroup: %d", got)
	}
}

func TestThisProcess(t *testing.T) {
	t.Parallel()
	r, err := New(Options{ReadTimeout: unhurried})
	if err != nil {
		t.Fatal(err)
	}
	pid := libpf.PID(os.Getpid()) //nolint:gosec // a PID
	p := r.Process(pid, "")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if p.Executable != exe || p.ExecutableID.IsZero() || p.StartTime == 0 || p.Service == "" {
		t.Errorf("%+v, want executable %s", p, exe)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				r.Process(pid, "")
				r.Process(1, "")
			}
		})
	}
	group.Wait()
}

func BenchmarkProcessKnown(b *testing.B) {
	r, err := New(Options{ReadTimeout: unhurried})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Process(libpf.PID(os.Getpid()), "") //nolint:gosec // a PID
	}
}
