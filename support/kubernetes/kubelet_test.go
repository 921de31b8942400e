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
	"strconv"
	"strings"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/strobe-profiler/strobe/internal/containers"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/dockertest"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/identity"
)

// TestAPIServerKubelet runs a pod with a real kubelet, and asks the kubelet what the process
// in it is, as the agent does: with the token of the chart's service account, and with the
// rights that the chart gives it.
func TestAPIServerKubelet(t *testing.T) {
	if os.Getenv("KUBELET") == "" {
		skip.Because(t, "KUBELET does not name the program: docs/kubernetes.md")
	}
	if !isolated(t) {
		return
	}
	s := serve(t, nodeAddress)
	n := s.startNode(t)
	t.Logf("kubelet %s", n.version)
	busy := filepath.Join(t.TempDir(), "busy")
	goBuild(t, busy, "./internal/containers/testdata/busy")
	n.load(t, busy, []string{"-idle"}, dockertest.PauseImage)
	n.load(t, busy, nil, "shop/checkout:1.4")
	pod := s.runPod(t)
	account := s.account(t)

	// What the kernel says of the process is before any question.
	processes, err := identity.New(identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := processes.Process(busyProcess(t), "busy")
	status := pod.Status.ContainerStatuses[0]
	if "containerd://"+p.ContainerID != status.ContainerID || label(p, containers.LabelPodUID) != string(pod.UID) {
		t.Fatalf("the kernel says container %q, pod %q; want %q and %q", p.ContainerID, label(p, containers.LabelPodUID), status.ContainerID, pod.UID)
	}

	options := containers.Options{
		Kubelet: containers.KubeletOptions{URL: containers.KubeletAuto, ServiceAccount: account}, PodLabels: []string{"tier"},
		Getenv: func(name string) string {
			return map[string]string{"NODE_IP": nodeAddress, "NODE_NAME": nodeName}[name]
		},
	}
	// probe asks once, as "agent doctor" does, and returns why the kubelet does not answer.
	probe := func() (refusal, fix string) {
		all := containers.Probe(t.Context(), options)
		if len(all) != 1 {
			t.Fatalf("asked %+v", all)
		}
		if all[0].OK {
			return "", ""
		}
		return all[0].Detail, all[0].Fix
	}
	if refusal, _ := probe(); !strings.Contains(refusal, "403") {
		t.Errorf("without any right: %q", refusal)
	}
	s.grant(t, "nodes/pods")
	if minor(t, n.version) < 33 {
		// The API server grants it, and the kubelet does not ask for it.
		if refusal, fix := probe(); !strings.Contains(refusal, "403") || !strings.Contains(fix, "nodes/proxy") {
			t.Errorf("with nodes/pods: %q, do %q", refusal, fix)
		}
		s.grant(t, "nodes/proxy")
	}
	eventually(t, func() error {
		if refusal, _ := probe(); refusal != "" {
			return errors.New(refusal)
		}
		return nil
	})

	d, err := containers.New(options)
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(d.Close)
	var named *libpf.Process
	eventually(t, func() error {
		// The kernel may know the names of container and pod by mounts, but no namespace.
		if named = d.Describe(p); named.Namespace == "" {
			return fmt.Errorf("it stays %+v; sources: %+v", named, d.Status())
		}
		return nil
	})
	if named.ContainerName != "web" || named.PodName != "checkout-7d9" || named.Namespace != "shop" || named.Service != "checkout" {
		t.Errorf("container %q, pod %q, namespace %q, service %q", named.ContainerName, named.PodName, named.Namespace, named.Service)
	}
	for key, want := range map[string]string{
		containers.LabelRuntime: "containerd", containers.LabelPodUID: string(pod.UID),
		containers.LabelImage: "docker.io/shop/checkout", containers.LabelImageTag: "1.4",
		"k8s.pod.label.tier": "front", "k8s.pod.label.secret": "",
	} {
		if got := label(named, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func label(p *libpf.Process, key string) string {
	for _, l := range p.Labels {
		if l.Key == key {
			return l.Value
		}
	}
	return ""
}

// goBuild builds a package of the main module, static.
func goBuild(t *testing.T, to string, packages ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-o", to}, packages...)...) //nolint:gosec // of this test
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// busyProcess returns the process of the pod, as the node sees it.
func busyProcess(t *testing.T) libpf.PID {
	t.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, _ := os.ReadFile(path)
		group, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup"))
		if string(b) != "/busy\x00" || !strings.Contains(string(group), fmt.Sprintf("strobe-test-%d/", os.Getpid())) {
			continue
		}
		pid, err := strconv.ParseUint(filepath.Base(filepath.Dir(path)), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return libpf.PID(pid)
	}
	t.Fatal("the process of the pod is not there")
	return 0
}

// runPod starts a pod on the node, and returns it when it runs. It goes before the node does.
func (s *apiServer) runPod(t *testing.T) *core.Pod {
	t.Helper()
	s.namespace(t, "shop", "")
	// There is no controller that would make it.
	s.apply(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: shop}\n")
	o := s.apply(t, `apiVersion: v1
kind: Pod
metadata:
  name: checkout-7d9
  namespace: shop
  labels: {app.kubernetes.io/name: checkout, tier: front, secret: x}
spec:
  nodeName: `+nodeName+`
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1 # with 0 it is gone for the API server before it is for the node
  containers: [{name: web, image: "docker.io/shop/checkout:1.4"}]
`)
	if o == nil {
		t.FailNow()
	}
	const path = "/api/v1/namespaces/shop/pods/checkout-7d9"
	t.Cleanup(func() {
		s.remove(t, o)
		eventually(t, func() error {
			status, _, _, err := s.do(http.MethodGet, path, "", nil)
			if err == nil && status != http.StatusNotFound {
				err = errors.New("the pod is still there")
			}
			return err
		})
	})
	var pod core.Pod
	eventually(t, func() error {
		if err := s.get(path, &pod); err != nil {
			return err
		}
		if pod.Status.Phase != core.PodRunning {
			return fmt.Errorf("the pod is %s: %+v", pod.Status.Phase, pod.Status)
		}
		return nil
	})
	return &pod
}

// account returns a folder with what a pod of the agent finds of its service account.
func (s *apiServer) account(t *testing.T) string {
	t.Helper()
	s.namespace(t, namespace, "")
	s.apply(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: strobe-agent, namespace: "+namespace+"}\n")
	b, err := json.Marshal(authentication.TokenRequest{TypeMeta: meta.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}})
	if err != nil {
		t.Fatal(err)
	}
	status, _, body, err := s.do(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/strobe-agent/token", "application/json", b)
	var answer authentication.TokenRequest
	if err := errors.Join(err, json.Unmarshal(body, &answer)); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s %v", status, body, err)
	}
	ca, err := os.ReadFile(s.ca.file)
	dir := t.TempDir()
	for name, content := range map[string][]byte{"token": []byte(answer.Status.Token), "ca.crt": ca} {
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, name), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// grant gives the agent what the chart gives it with a value of agent.kubelet.resource,
// and returns when the API server says so.
func (s *apiServer) grant(t *testing.T, resource string) {
	t.Helper()
	manifests, _, err := render(fmt.Sprintf(`{agent: {kubelet: {resource: %q}}}`, resource))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests {
		if strings.Contains(m, "kind: ClusterRole") {
			s.apply(t, m)
		}
	}
	_, sub, _ := strings.Cut(resource, "/")
	eventually(t, func() error {
		if !s.may(t, "strobe-agent", nodeRight(sub)) {
			return fmt.Errorf("the agent may not get %s", resource)
		}
		return nil
	})
}
