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
	"errors"
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
	// took counts the objects that it took.
	took int
}

// serve starts etcd and the API server that the environment names, and logs their versions.
func serve(t *testing.T) *apiServer {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
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
	signing := write("signing.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(signer)}))
	tokens := write("tokens.csv", []byte(adminToken+`,admin,1,"system:masters"`+"\n"))
	etcd, peer, port := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t), freePort(t)
	etcdEnds := start(t, "ETCD", "--data-dir", dir+"/etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	serverEnds := start(t, "KUBE_APISERVER", "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", dir,
		// It would look for an address of this machine that others reach.
		"--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none",
		"--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC", "--token-auth-file", tokens, "--allow-privileged",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", signing, "--service-account-signing-key-file", signing)

	s := &apiServer{url: "https://127.0.0.1:" + port}
	for end := time.Now().Add(3 * time.Minute); ; {
		err := s.ready(dir + "/apiserver.crt")
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the API server does not get ready: %v", err)
		}
		select {
		case err := <-etcdEnds:
			t.Fatalf("etcd has ended: %v", err)
		case err := <-serverEnds:
			t.Fatalf("the API server has ended: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	var server struct {
		GitVersion string `json:"gitVersion"`
	}
	_, _, body, err := s.do(http.MethodGet, "/version", "", nil)
	if err := errors.Join(err, json.Unmarshal(body, &server)); err != nil {
		t.Fatal(err)
	}
	var store struct {
		Server string `json:"etcdserver"`
	}
	response, err := http.Get(etcd + "/version") //nolint:gosec,noctx // of etcd above
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if err := json.NewDecoder(response.Body).Decode(&store); err != nil {
		t.Fatal(err)
	}
	t.Logf("kube-apiserver %s, etcd %s", server.GitVersion, store.Server)
	return s
}

// start starts the program that a variable names, and returns what has its error when it
// ends. It ends with the test, and its log is shown if the test failed.
func start(t *testing.T, variable string, args ...string) <-chan error {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Fatalf("%s has to name the program: docs/kubernetes.md", variable)
	}
	var log stdbytes.Buffer
	cmd := exec.Command(program, args...) //nolint:gosec // of the caller
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	ends, ended := make(chan error, 1), make(chan struct{})
	go func() {
		ends <- cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			b := log.Bytes()
			t.Logf("%s: %s", variable, b[max(0, len(b)-4000):])
		}
	})
	return ends
}

// eventually waits until something is so, for what the server does after it has answered.
func eventually(t *testing.T, isSo func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := isSo()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
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
func (s *apiServer) ready(path string) error {
	b, err := os.ReadFile(path)
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
// errors of the test. It returns the object as the server has it, nil if it does not have it.
func (s *apiServer) apply(t *testing.T, manifest string) *meta.PartialObjectMetadata {
	t.Helper()
	var o meta.PartialObjectMetadata
	if err := sigs.Unmarshal([]byte(manifest), &o); err != nil {
		t.Fatal(err)
	}
	path := s.collection(t, o.APIVersion, o.Kind, o.Namespace)
	if path == "" {
		t.Errorf("the server has no %s %s", o.APIVersion, o.Kind)
		return nil
	}
	status, warnings, body, err := s.do(http.MethodPatch, path+"/"+o.Name+"?fieldManager=test&fieldValidation=Strict", "application/apply-patch+yaml", []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusOK && status != http.StatusCreated {
		t.Errorf("%s %s: %d %s", o.Kind, o.Name, status, body)
		return nil
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

// pod asks whether a pod of a workload may be made in a namespace, and returns why not.
func (s *apiServer) pod(t *testing.T, w *workload, inNamespace string) string {
	t.Helper()
	pod := core.Pod{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: meta.ObjectMeta{Name: "one", Labels: w.template.Labels, Annotations: w.template.Annotations},
		Spec:       *w.template.Spec.DeepCopy(),
	}
	for _, claim := range w.claims { // as the controller of a StatefulSet does
		pod.Spec.Volumes = append(pod.Spec.Volumes, core.Volume{Name: claim, VolumeSource: core.VolumeSource{
			PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: claim + "-one"},
		}})
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

// applyTwice applies objects, and holds that the second time changes nothing: what the
// server keeps is what they say. The objects go with the test, namespaces stay.
func (s *apiServer) applyTwice(t *testing.T, manifests []string) {
	t.Helper()
	first := map[int]string{}
	for i, m := range manifests {
		o := s.apply(t, m)
		if o == nil {
			continue
		}
		s.took++
		first[i] = o.ResourceVersion
		t.Cleanup(func() { s.remove(t, o) })
	}
	for i, m := range manifests {
		if o := s.apply(t, m); o != nil && o.ResourceVersion != first[i] {
			t.Errorf("%s %s is not the same after it was applied again", o.Kind, o.Name)
		}
	}
}

// remove deletes an object that apply returned.
func (s *apiServer) remove(t *testing.T, o *meta.PartialObjectMetadata) {
	t.Helper()
	if o.Kind == "Namespace" {
		return
	}
	status, _, body, err := s.do(http.MethodDelete, s.collection(t, o.APIVersion, o.Kind, o.Namespace)+"/"+o.Name, "", nil)
	if err != nil || status != http.StatusOK {
		t.Errorf("delete %s %s: %d %s %v", o.Kind, o.Name, status, body, err)
	}
}

// TestAPIServer gives the manifests, and what the chart makes in each case, to a real API server.
func TestAPIServer(t *testing.T) {
	s := serve(t)
	s.operators(t)
	s.namespace(t, namespace, "")
	t.Run("manifests", func(t *testing.T) {
		manifests := strings.Split(string(file(t, plain)), "\n---\n")[1:]
		s.applyTwice(t, manifests)
		s.checkPods(t, sort(t, decode(t, manifests)))
		s.checkAccess(t)
	})
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			manifests, _, err := render(values)
			if err != nil {
				t.Fatal(err)
			}
			s.applyTwice(t, manifests)
		})
	}
	t.Logf("it took %d objects", s.took)
}

// namespace makes a namespace that enforces a pod security standard, "" for none.
func (s *apiServer) namespace(t *testing.T, name, level string) {
	t.Helper()
	manifest := "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + name + "\n"
	if level != "" {
		manifest += "  labels:\n"
		for _, mode := range []string{"enforce", "warn", "audit"} {
			manifest += fmt.Sprintf("    pod-security.kubernetes.io/%s: %s\n", mode, level)
		}
	}
	s.apply(t, manifest)
}

// checkPods holds that pods may be made in the namespace of the manifests, and those of the
// collection agent everywhere.
func (s *apiServer) checkPods(t *testing.T, c *cluster) {
	t.Helper()
	for _, w := range c.workloads() {
		if refusal := s.pod(t, w, namespace); refusal != "" {
			t.Errorf("%s in the namespace of the manifests: %s", w.name, refusal)
		}
	}
	for _, level := range []string{"baseline", "restricted"} {
		s.namespace(t, level, level)
		for _, account := range c.accounts {
			s.apply(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: "+account.Name+"\n  namespace: "+level+"\n")
		}
		for _, w := range c.workloads() {
			switch refusal := s.pod(t, w, level); {
			case w.perNode && !strings.Contains(refusal, "violates PodSecurity"):
				t.Errorf("%s where the standard %q is enforced: %q, and docs/kubernetes.md says that it is refused", w.name, level, refusal)
			case !w.perNode && refusal != "":
				t.Errorf("%s where the standard %q is enforced: %s", w.name, level, refusal)
			}
		}
	}
}
