// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/libpf"
)

// TestCRIMessages reads what the types of Kubernetes write.
func TestCRIMessages(t *testing.T) {
	t.Parallel()
	if name, err := decodeVersion(answer(t, "version.bin")); err != nil || name != "containerd" {
		t.Errorf("version %q, %v", name, err)
	}
	w := newWanted([]string{"none"}, []string{"tier"})
	list, err := w.decodeContainers(answer(t, "containers.bin"))
	if err != nil || len(list) != 2 {
		t.Fatalf("%d containers, %v", len(list), err)
	}
	web := list[0]
	if web.id != webID || web.sandbox != sandboxID || web.name != "web" || web.userImage != "shop/checkout:1.4" ||
		!isHashOnly(web.image) || len(web.labels) != 4 || web.labels[kubePod] != "checkout-7d9" {
		t.Errorf("container %+v", web)
	}
	pods, err := w.decodeSandboxes(answer(t, "sandboxes.bin"))
	if err != nil || len(pods) != 1 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	if p := pods[0]; p.id != sandboxID || p.name != "checkout-7d9" || p.uid != podUID || p.namespace != "shop" || p.labels["tier"] != "front" {
		t.Errorf("pod %+v", p)
	}
	if image, err := decodeStatus(answer(t, "status.bin")); err != nil || image != "registry.example:5000/shop/setup:2" {
		t.Errorf("image %q, %v", image, err)
	}
}

// TestManyLabels: a label that counts is found behind any number that do not.
func TestManyLabels(t *testing.T) {
	t.Parallel()
	entry := func(key string) []byte {
		return encodeText(5, string(append(encodeText(1, key), encodeText(2, "v")...)))
	}
	var pod []byte
	for i := range 5000 {
		pod = append(pod, entry(strconv.Itoa(i))...)
	}
	pod = append(pod, entry("tier")...)
	list, err := newWanted(nil, []string{"tier"}).decodeSandboxes(encodeText(1, string(pod)))
	if err != nil || len(list) != 1 || len(list[0].labels) != 1 || list[0].labels["tier"] != "v" {
		t.Errorf("%v, %v", list, err)
	}
}

// pods serves the answer of a kubelet over TLS to whoever has the token.
func pods(t *testing.T) (url, account string) {
	t.Helper()
	body := answer(t, "pods.json")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/pods" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	account = t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{"token": []byte("s3cret\n"), "ca.crt": ca} {
		if err := os.WriteFile(filepath.Join(account, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return server.URL, account
}

func TestKubelet(t *testing.T) {
	t.Parallel()
	url, account := pods(t)
	d := started(t, Options{Kubelet: KubeletOptions{URL: url, ServiceAccount: account}, PodLabels: []string{"tier"}})
	for id, want := range map[string][3]string{
		webID:    {"web", "shop/checkout", "1.4"},
		beforeID: {"web", "shop/checkout", "1.4"},
		setupID:  {"setup", "registry.example:5000/shop/setup", "2"},
		debugID:  {"debug", "busybox", "latest"},
	} {
		p := described(t, d, process(id), named)
		if p.ContainerName != want[0] || p.PodName != "checkout-7d9" || p.Namespace != "shop" || p.Service != "checkout" ||
			label(p, LabelImage) != want[1] || label(p, LabelImageTag) != want[2] || label(p, LabelRuntime) != "containerd" ||
			label(p, LabelPodUID) != podUID || label(p, "k8s.pod.label.tier") != "front" || label(p, "k8s.pod.label.secret") != "" {
			t.Errorf("%s is %+v", want[0], p)
		}
	}
	if p := described(t, d, process(etcdID), named); p.Service != "etcd" || label(p, LabelImage) != "" || label(p, LabelRuntime) != "cri-o" {
		t.Errorf("a static pod: %+v", p)
	}
}

func TestKubeletRefuses(t *testing.T) {
	t.Parallel()
	url, account := pods(t)
	look := func(o KubeletOptions) error {
		k, err := newKubelet(o, func(string) string { return "" }, newWanted(nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer k.close()
		return k.look(t.Context(), nil, func(string, container) {})
	}
	if err := look(KubeletOptions{URL: url, ServiceAccount: account}); err != nil {
		t.Error(err)
	}
	if err := look(KubeletOptions{URL: url, ServiceAccount: t.TempDir()}); err == nil {
		t.Error("a certificate that nobody trusts is accepted")
	}
	if err := look(KubeletOptions{URL: url, ServiceAccount: t.TempDir(), SkipVerify: true}); reasonOf(err) != reasonDenied {
		t.Errorf("without a token: %v", err)
	}
	if err := look(KubeletOptions{URL: url + "/nowhere", ServiceAccount: account}); reasonOf(err) != reasonUnsupported {
		t.Errorf("another path: %v", err)
	}
	for _, env := range []map[string]string{{}, {"NODE_IP": "10.0.0.1"}} {
		k, err := newKubelet(KubeletOptions{URL: KubeletAuto, ServiceAccount: "/nowhere"}, func(n string) string { return env[n] }, nil)
		if k != nil || err != nil {
			t.Errorf("by itself with %v: %+v, %v", env, k, err)
		}
	}
	for host, want := range map[string]string{"10.0.0.1": "https://10.0.0.1:10250/pods", "fd00::1": "https://[fd00::1]:10250/pods"} {
		k, err := newKubelet(KubeletOptions{URL: KubeletAuto, ServiceAccount: account}, func(n string) string {
			return map[string]string{"NODE_IP": host, "NODE_NAME": "n1"}[n]
		}, nil)
		if err != nil || k.where() != want {
			t.Errorf("%s is asked at %v, %v", host, k, err)
		}
	}
	for _, wrong := range []string{"10.0.0.1", "ftp://x", "https://user:secret@x", "https://"} {
		if _, err := CheckKubeletURL(wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

// checkTold fails for what must not come out of an answer, whatever is in it.
func checkTold(t *testing.T) func(string, container) {
	return func(id string, c container) {
		if !isID(id) {
			t.Errorf("told of %q", id)
		}
		p := c.describe(&libpf.Process{ContainerID: id, Service: "s"})
		for _, text := range []string{p.ContainerName, p.PodName, p.Namespace, p.Service} {
			if !utf8.ValidString(text) || len(text) > maxValueBytes {
				t.Errorf("text %q", text)
			}
		}
		for _, l := range p.Labels {
			if l.Key == "" || l.Value == "" || len(l.Value) > maxValueBytes || !utf8.ValidString(l.Key+l.Value) {
				t.Errorf("label %q=%q", l.Key, l.Value)
			}
		}
	}
}

func FuzzKubelet(f *testing.F) {
	f.Add(answer(f, "pods.json"))
	f.Add([]byte(`{"items":null}`))
	f.Add([]byte(`{"items":[{"metadata":{"labels":{"a":"b"}},"status":{"containerStatuses":[{"containerID":"x://` + webID + `"}]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := &kubelet{wanted: newWanted(nil, []string{"a"})}
		_ = k.read(bytes.NewReader(b), checkTold(t))
	})
}

func FuzzCRI(f *testing.F) {
	for _, name := range []string{"containers.bin", "sandboxes.bin", "status.bin", "version.bin"} {
		f.Add(answer(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &cri{wanted: newWanted([]string{"a"}, []string{"a"})}
		list, err := c.wanted.decodeContainers(b)
		if err != nil && list != nil {
			t.Error("an error and a result")
		}
		pods, _ := c.wanted.decodeSandboxes(b)
		for i := range pods {
			p := c.podOf(&pods[i])
			if !utf8.ValidString(p.pod + p.podUID + p.namespace) {
				t.Errorf("pod %+v", p)
			}
		}
		_, _ = decodeStatus(b)
		_, _ = decodeVersion(b)
	})
}
