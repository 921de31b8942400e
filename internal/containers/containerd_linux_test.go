// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/dockertest"
	"github.com/strobe-profiler/strobe/support/skip"
)

// runtimed is a containerd of the test's own, with its plugin of the CRI.
type runtimed struct {
	*cri
	dir string
}

// startContainerd starts it, with an image for pods and one for a program.
func startContainerd(t *testing.T) *runtimed {
	t.Helper()
	skip.UnlessRoot(t)
	for _, program := range []string{"containerd", "ctr", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			skip.Because(t, "needs "+program+" in PATH: Debian's containerd has it")
		}
	}
	dir, err := os.MkdirTemp("", "ctd") // a path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	d := &runtimed{dir: dir, cri: newCRI(filepath.Join(dir, "containerd.sock"), newWanted([]string{"team"}, []string{"tier"}))}
	networks := filepath.Join(dir, "cni") // there are none
	config := dockertest.ContainerdConfig(t, dir, d.socket, networks, networks)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("containerd", "-c", config)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.close()
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the end of containerd's log:\n%s", b[max(0, len(b)-4000):])
		}
		_ = log.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		_, err := d.call(ctx, "Version", nil)
		if err == nil {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("containerd does not start: %v", err)
		}
	}
	program := filepath.Join(dir, "busy")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/busy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	archive := filepath.Join(dir, "images.tar")
	if err := os.WriteFile(archive, dockertest.Archive(t, program, []string{"-idle"}, dockertest.PauseImage, "shop/checkout:1.4"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := exec.CommandContext(t.Context(), "ctr", "-a", d.socket, "-n", "k8s.io", "images", "import", "--snapshotter", "native", archive)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import the images: %v\n%s", err, out)
	}
	return d
}

// message joins fields of a message of protobuf.
func message(fields ...[]byte) string { return string(bytes.Join(fields, nil)) }

// labels writes a map of texts.
func labels(field protowire.Number, all map[string]string) (b []byte) {
	for k, v := range all {
		b = append(b, encodeText(field, message(encodeText(1, k), encodeText(2, v)))...)
	}
	return b
}

func (d *runtimed) must(t *testing.T, method string, request string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	answer, err := d.call(ctx, method, []byte(request))
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	id, err := text(answer, 1)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestContainerd makes a pod with a container in a real containerd, by the CRI, as the
// kubelet does, and asks for them.
func TestContainerd(t *testing.T) {
	d := startContainerd(t)
	// RunPodSandboxRequest{config{metadata{name, uid, namespace}, labels, linux{cgroup_parent,
	// security_context{namespace_options{network: NODE}}}}}: without a network of its own.
	node := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
	config := message(
		encodeText(1, message(encodeText(1, "checkout-7d9"), encodeText(2, podUID), encodeText(3, "shop"))),
		labels(6, map[string]string{"app.kubernetes.io/name": "checkout", "tier": "front", "secret": "x"}),
		encodeText(8, message(encodeText(1, "/strobe-test"), encodeText(2, message(encodeText(1, string(node)))))),
	)
	sandbox := d.must(t, "RunPodSandbox", message(encodeText(1, config)))
	t.Cleanup(func() {
		for _, method := range []string{"StopPodSandbox", "RemovePodSandbox"} {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			if _, err := d.call(ctx, method, encodeText(1, sandbox)); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			cancel()
		}
	})
	// The kubelet names an image by its hash, which is what the list of containers then has.
	hash, err := exec.CommandContext(t.Context(), "ctr", "-a", d.socket, "-n", "k8s.io", "images", "ls", "-q").Output()
	if err != nil {
		t.Fatal(err)
	}
	image := ""
	for line := range strings.Lines(string(hash)) {
		if strings.HasPrefix(line, "sha256:") {
			image = strings.TrimSpace(line)
		}
	}
	created := message(
		encodeText(1, message(encodeText(1, "web"))), encodeText(2, message(encodeText(1, image))),
		labels(9, map[string]string{
			kubePod: "checkout-7d9", kubeNamespace: "shop", kubeUID: podUID, kubeContainer: "web", "team": "a", "password": "x",
		}),
	)
	id := d.must(t, "CreateContainer", message(encodeText(1, sandbox), encodeText(2, created), encodeText(3, config)))
	d.must(t, "StartContainer", message(encodeText(1, id)))

	dir := started(t, Options{Sockets: []string{d.socket}, Labels: []string{"team"}, PodLabels: []string{"tier"}})
	p := described(t, dir, process(id), named)
	if p.ContainerName != "web" || p.PodName != "checkout-7d9" || p.Namespace != "shop" || p.Service != "checkout" {
		t.Errorf("container %q, pod %q, namespace %q, service %q", p.ContainerName, p.PodName, p.Namespace, p.Service)
	}
	for key, want := range map[string]string{
		LabelRuntime: "containerd", LabelPodUID: podUID, "container.label.team": "a", "container.label.password": "",
		"k8s.pod.label.tier": "front", "k8s.pod.label.secret": "",
	} {
		if got := label(p, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// Both tags are of the same content; the runtime says one of them.
	if name, tag := label(p, LabelImage), label(p, LabelImageTag); name+":"+tag != "docker.io/shop/checkout:1.4" && name+":"+tag != "docker.io/test/pause:1" {
		t.Errorf("image %q, tag %q", name, tag)
	}
	// The first process of the pod is in a container that no list of containers has.
	dir.Want(sandbox)
	if p := described(t, dir, process(sandbox), func(p *libpf.Process) bool { return p.PodName != "" }); p.PodName != "checkout-7d9" || p.ContainerName != "" || p.Service != "checkout" {
		t.Errorf("the sandbox: container %q, pod %q, service %q", p.ContainerName, p.PodName, p.Service)
	}
	// More than are asked for one by one.
	many := make([]string, 0, 20)
	for i := range 20 {
		many = append(many, fmt.Sprintf("%064x", i+1))
	}
	told := map[string]bool{}
	if err := newCRI(d.socket, d.wanted).look(t.Context(), append(many, id, sandbox), func(id string, _ container) { told[id] = true }); err != nil || !told[id] || !told[sandbox] {
		t.Errorf("of many it told %v, %v", told, err)
	}
}
