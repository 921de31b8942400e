// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/strobe-profiler/strobe/support/dockertest"
	"github.com/strobe-profiler/strobe/support/skip"
)

const (
	// nodeName and nodeAddress are those of the only node, in a network of the test's own.
	nodeName    = "node-1"
	nodeAddress = "10.98.0.1"
	pluginsDir  = "/usr/lib/cni"
	// isolatedVar is set in the process that has it.
	isolatedVar = "STROBE_TEST_ISOLATED"
)

// isolated runs a test again in a process with a network and mounts of its own, where a
// kubelet and its containers change nothing of this machine: no routes, no rules, no
// settings of the kernel. It reports whether it is that process.
func isolated(t *testing.T) bool {
	t.Helper()
	if os.Getenv(isolatedVar) != "" {
		settle(t)
		return true
	}
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it starts a kubelet")
	}
	for _, program := range []string{"containerd", "ctr", "runc", "ip", "mount", pluginsDir + "/bridge"} {
		if _, err := exec.LookPath(program); err != nil {
			skip.Because(t, "needs "+program+": Debian's containerd, iproute2 and containernetworking-plugins have it")
		}
	}
	timeout := time.Duration(0)
	if deadline, ok := t.Deadline(); ok {
		timeout = time.Until(deadline) - 15*time.Second // for it to end what it has started
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", timeout.String()) //nolint:gosec // this test
	cmd.Env = append(os.Environ(), isolatedVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	t.Logf("in a network of its own:\n%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// settle furnishes what isolated has made.
func settle(t *testing.T) {
	t.Helper()
	must := func(args ...string) {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // of this test
			t.Fatalf("%s: %v %s", strings.Join(args, " "), err, out)
		}
	}
	must("mount", "--make-rshared", "/")
	must("ip", "link", "set", "lo", "up")
	must("ip", "address", "add", nodeAddress+"/32", "dev", "lo")
	// Where kubelet, containerd and plugins keep things whatever they are told, and where
	// the agents of the chart keep what they cannot send.
	for _, dir := range []string{"/var/lib", "/var/log", "/run"} {
		must("mount", "-t", "tmpfs", "tmpfs", dir)
	}
	// A kubelet sets these for the whole machine.
	for i, name := range []string{
		"kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
		"vm/overcommit_memory", "vm/panic_on_oom",
	} {
		own := "/run/sysctl-" + strconv.Itoa(i)
		value, err := os.ReadFile("/proc/sys/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, os.WriteFile(own, value, 0o600)); err != nil {
			t.Fatal(err)
		}
		must("mount", "--bind", own, "/proc/sys/"+name)
	}
}

// node is a node of one cluster: a containerd and a kubelet.
type node struct {
	socket  string // of containerd
	version string // of the kubelet
}

// startNode starts containerd of this machine and the kubelet that KUBELET names.
func (s *apiServer) startNode(t *testing.T) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // a path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmount(dir) // what pods that were not deleted have left
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	n := &node{socket: filepath.Join(dir, "containerd.sock")}
	group := podGroup(t)
	n.startContainerd(t, dir)

	cert, key := s.ca.issue(t, "kubelet", "", nodeAddress)
	version, err := exec.Command(os.Getenv("KUBELET"), "--version").Output() //nolint:gosec // of the caller
	if err != nil {
		t.Fatalf("KUBELET: %v", err)
	}
	_, n.version, _ = strings.Cut(strings.TrimSpace(string(version)), " ")
	config := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "address": nodeAddress,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true}, "x509": map[string]any{"clientCAFile": s.ca.file},
		},
		// So that a right that was given is had at once.
		"authorization": map[string]any{"mode": "Webhook", "webhook": map[string]any{"cacheAuthorizedTTL": "1s", "cacheUnauthorizedTTL": "1s"}},
		"tlsCertFile":   cert, "tlsPrivateKeyFile": key, "containerRuntimeEndpoint": "unix://" + n.socket,
		"cgroupDriver": "cgroupfs", "cgroupRoot": group, "enforceNodeAllocatable": []string{"none"},
		"clusterDNS": []string{nodeAddress}, "clusterDomain": "cluster.local", "resolvConf": "/dev/null",
		"failSwapOn": false, "imageGCHighThresholdPercent": 100, "volumePluginDir": filepath.Join(dir, "plugins"),
		"evictionHard": map[string]string{"memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
	}
	if minor(t, n.version) >= 31 {
		config["failCgroupV1"] = false
	}
	b, err := json.Marshal(config)
	path := filepath.Join(dir, "kubelet.json")
	if err := errors.Join(err, os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	ends := start(t, "KUBELET", "--config", path, "--kubeconfig", s.kubeconfig(t), "--root-dir", "/var/lib/kubelet",
		"--hostname-override", nodeName, "--node-ip", nodeAddress)
	eventually(t, func() error {
		select {
		case err := <-ends:
			t.Fatalf("the kubelet has ended: %v", err)
		default:
		}
		var is core.Node
		if err := s.get("/api/v1/nodes/"+nodeName, &is); err != nil {
			return err
		}
		for _, c := range is.Status.Conditions {
			if c.Type == core.NodeReady && c.Status == core.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("the node is not ready: %+v", is.Status.Conditions)
	})
	return n
}

// unmount unmounts all below a folder.
func unmount(dir string) {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH)
		}
	}
}

// minor returns the second number of a version such as v1.30.14.
func minor(t *testing.T, version string) int {
	t.Helper()
	numbers := strings.Split(version, ".")
	if len(numbers) < 3 {
		t.Fatalf("version %q", version)
	}
	m, err := strconv.Atoi(numbers[1])
	if err != nil {
		t.Fatalf("version %q", version)
	}
	return m
}

// get reads an object.
func (s *apiServer) get(path string, object any) error {
	status, _, body, err := s.do(http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, status, body)
	}
	return json.Unmarshal(body, object)
}

// podGroup makes the cgroup that pods are in, and returns its path in each hierarchy.
func podGroup(t *testing.T) string {
	t.Helper()
	const root = "/sys/fs/cgroup"
	group := "/strobe-test-" + strconv.Itoa(os.Getpid())
	hierarchies, _ := filepath.Glob(root + "/*/cgroup.procs")
	if _, err := os.Stat(root + "/cgroup.procs"); err == nil { // version 2 alone
		hierarchies = []string{root + "/cgroup.procs"}
	}
	for _, h := range hierarchies {
		dir := filepath.Dir(h)
		if err := os.Mkdir(dir+group, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeGroup(t, dir+group) })
		// Those of version 1 begin without any CPU.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				if err := os.WriteFile(filepath.Join(dir+group, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return group
}

// removeGroup ends what is still in a cgroup, which is nothing if the test went well, and removes it.
func removeGroup(t *testing.T, top string) {
	t.Helper()
	eventually(t, func() error {
		var groups []string
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, group := range slices.Backward(groups) { // from the leaves
			b, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
			for field := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			_ = os.Remove(group)
		}
		if _, err := os.Stat(top); err == nil {
			return fmt.Errorf("%s cannot be removed", top)
		}
		return nil
	})
}

// startContainerd starts it with a network of a bridge, in which pods and node reach each other.
func (n *node) startContainerd(t *testing.T, dir string) {
	t.Helper()
	networks := filepath.Join(dir, "cni")
	text := `{"cniVersion": "0.4.0", "name": "test", "plugins": [{"type": "bridge", "bridge": "pods", "isGateway": true,
		"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}`
	if err := errors.Join(os.MkdirAll(networks, 0o700), os.WriteFile(filepath.Join(networks, "test.conflist"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	config := dockertest.ContainerdConfig(t, dir, n.socket, pluginsDir, networks)
	ends := run(t, exec.Command("containerd", "-c", config)) //nolint:gosec // of this test
	t.Cleanup(func() { n.endShims(t) })
	eventually(t, func() error {
		select {
		case err := <-ends:
			t.Fatalf("containerd has ended: %v", err)
		default:
		}
		out, err := n.ctr("version").CombinedOutput()
		if err != nil {
			return fmt.Errorf("containerd does not answer: %w %s", err, out)
		}
		return nil
	})
}

func (n *node) ctr(args ...string) *exec.Cmd {
	return exec.Command("ctr", append([]string{"-a", n.socket, "-n", "k8s.io"}, args...)...) //nolint:gosec // of this test
}

// load gives the node an image of a static program that is started with these arguments.
func (n *node) load(t *testing.T, program string, arguments []string, tags ...string) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(archive, dockertest.Archive(t, program, arguments, tags...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := n.ctr("images", "import", "--snapshotter", "native", archive).CombinedOutput(); err != nil {
		t.Fatalf("import the image of %s: %v\n%s", program, err, out)
	}
}

// endShims ends what holds containers, which outlives containerd. There is none if the
// pods were deleted.
func (n *node) endShims(t *testing.T) {
	t.Helper()
	tasks, _ := n.ctr("tasks", "ls", "-q").Output()
	for id := range strings.FieldsSeq(string(tasks)) {
		_ = n.ctr("tasks", "rm", "-f", id).Run()
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), "containerd-shim") || !strings.Contains(string(b), n.socket) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
