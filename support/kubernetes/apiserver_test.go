// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	stdbytes "bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigs "sigs.k8s.io/yaml"
)

const adminToken = "of-this-test"

// apiServer is a real API server, of a cluster without nodes and controllers.
type apiServer struct {
	url    string
	client *http.Client
}

// serve starts etcd and the API server that the environment names.
func serve(t *testing.T) *apiServer {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(signer)}))
	tokens := file("tokens.csv", []byte(adminToken+`,admin,1,"system:masters"`+"\n"))
	etcd, peer, port := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t), freePort(t)
	start(t, "ETCD", "--data-dir", dir+"/etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	start(t, "KUBE_APISERVER", "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", dir,
		"--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC", "--token-auth-file", tokens,
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key, "--service-account-signing-key-file", key)
	s := &apiServer{url: "https://127.0.0.1:" + port}
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := s.ready(dir + "/apiserver.crt")
		if err == nil {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("the API server does not get ready: %v", err)
		}
	}
}

// start starts the program that a variable names. It ends with the test.
func start(t *testing.T, variable string, args ...string) {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Fatalf("%s has to name the program: docs/kubernetes.md", variable)
	}
	var log stdbytes.Buffer
	cmd := exec.Command(program, args...) //nolint:gosec // of the caller
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			b := log.Bytes()
			t.Logf("%s: %s", variable, b[max(0, len(b)-4000):])
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was only asked for its port
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// ready reports whether the server, whose certificate is in a file, answers for all its parts.
func (s *apiServer) ready(certificate string) error {
	b, err := os.ReadFile(certificate)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	status, _, body, err := s.do(http.MethodGet, "/readyz", "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

// do asks the server, and returns its warnings as well.
func (s *apiServer) do(method, path, contentType string, body []byte) (status int, warnings []string, answer []byte, err error) {
	r, err := http.NewRequest(method, s.url+path, stdbytes.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header.Values("Warning"), answer, err
}

// collection returns the path of the objects of a kind, "" for kinds that the server does not have.
func (s *apiServer) collection(t *testing.T, version, kind, inNamespace string) string {
	t.Helper()
	path := "/apis/" + version
	if !strings.Contains(version, "/") {
		path = "/api/" + version
	}
	status, _, body, err := s.do(http.MethodGet, path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status == http.StatusNotFound {
		return ""
	}
	var list meta.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list.APIResources {
		switch {
		case r.Kind != kind || strings.Contains(r.Name, "/"):
		case r.Namespaced:
			return path + "/namespaces/" + inNamespace + "/" + r.Name
		default:
			return path + "/" + r.Name
		}
	}
	return ""
}

// apply applies an object as "kubectl apply --server-side" does, strictly. Warnings are
// errors of the test. It returns the object as the server has it, nil for kinds of others.
func (s *apiServer) apply(t *testing.T, manifest, query string) *meta.PartialObjectMetadata {
	t.Helper()
	var o meta.PartialObjectMetadata
	if err := sigs.Unmarshal([]byte(manifest), &o); err != nil {
		t.Fatal(err)
	}
	path := s.collection(t, o.APIVersion, o.Kind, o.Namespace)
	if path == "" {
		if o.Kind != "PodMonitor" && o.Kind != "Certificate" { // which operators bring along
			t.Errorf("the server has no %s %s", o.APIVersion, o.Kind)
		}
		return nil
	}
	status, warnings, body, err := s.do(http.MethodPatch, path+"/"+o.Name+"?fieldManager=test&fieldValidation=Strict"+query, "application/apply-patch+yaml", []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusOK && status != http.StatusCreated {
		t.Errorf("%s %s: %d %s", o.Kind, o.Name, status, body)
	}
	for _, w := range warnings {
		t.Errorf("%s %s: the server warns: %s", o.Kind, o.Name, w)
	}
	var has meta.PartialObjectMetadata
	if err := json.Unmarshal(body, &has); err != nil {
		t.Fatal(err)
	}
	return &has
}

// pod asks whether a pod of a template may be made in a namespace, and returns why not.
func (s *apiServer) pod(t *testing.T, template *core.PodTemplateSpec, inNamespace string) string {
	t.Helper()
	pod := core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta.ObjectMeta{Name: "one", Labels: template.Labels}, Spec: template.Spec}
	// A volume of a claim is made by the controller of the StatefulSet.
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		if m.Name == "data" {
			pod.Spec.Volumes = append(pod.Spec.Volumes, core.Volume{Name: "data", VolumeSource: core.VolumeSource{PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}})
		}
	}
	b, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	status, warnings, body, err := s.do(http.MethodPost, "/api/v1/namespaces/"+inNamespace+"/pods?dryRun=All&fieldValidation=Strict", "application/json", b)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("a pod in %s: the server warns: %s", inNamespace, w)
	}
	if status == http.StatusCreated {
		return ""
	}
	return string(body)
}

// TestAPIServer gives the manifests, and what the chart makes in each case, to a real API server.
func TestAPIServer(t *testing.T) {
	s := serve(t)
	_, _, version, _ := s.do(http.MethodGet, "/version", "", nil)
	t.Logf("API server %s", version)

	manifests := strings.Split(string(file(t, plain)), "\n---\n")[1:]
	first := map[int]string{}
	for i, m := range manifests {
		if o := s.apply(t, m, ""); o != nil {
			first[i] = o.ResourceVersion
		}
	}
	for i, m := range manifests {
		if o := s.apply(t, m, ""); o != nil && o.ResourceVersion != first[i] {
			t.Errorf("%s %s is not the same after it was applied again", o.Kind, o.Name)
		}
	}

	for _, level := range []string{"baseline", "restricted"} {
		labels := ""
		for _, mode := range []string{"enforce", "warn", "audit"} {
			labels += fmt.Sprintf("    pod-security.kubernetes.io/%s: %s\n", mode, level)
		}
		s.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: "+level+"\n  labels:\n"+labels, "")
		for _, account := range []string{"strobe-agent", "strobe-collectionagent"} {
			s.apply(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: "+account+"\n  namespace: "+level+"\n", "")
		}
	}
	c := sort(t, decode(t, manifests))
	for _, w := range c.workloads() {
		if refusal := s.pod(t, &w.template, namespace); refusal != "" {
			t.Errorf("%s in the namespace of the manifests: %s", w.name, refusal)
		}
		for _, level := range []string{"baseline", "restricted"} {
			refusal := s.pod(t, &w.template, level)
			if w.name == "agent" && !strings.Contains(refusal, "violates PodSecurity") || w.name == "collectionagent" && refusal != "" {
				t.Errorf("%s where the standard %q is enforced: %q", w.name, level, refusal)
			}
		}
	}

	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			manifests, _, err := render(values)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range manifests {
				s.apply(t, m, "&dryRun=All&force=true")
			}
		})
	}
}
