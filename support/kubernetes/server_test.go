// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	stdbytes "bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
)

const adminToken = "of-this-test"

// apiServer is a real API server, of a cluster without nodes and controllers unless a test
// starts those.
type apiServer struct {
	url     string
	version string
	client  *http.Client
	// dir has what the server and those who come to it need: see authority and kubeconfig.
	dir string
	ca  *authority
	// took counts the objects that it took.
	took int
}

// serve starts etcd and the API server that the environment names, at an address of this
// machine, and logs their versions.
func serve(t *testing.T, address string) *apiServer {
	t.Helper()
	s := &apiServer{dir: t.TempDir()}
	s.ca = newAuthority(t, s.dir)
	cert, key := s.ca.issue(t, "apiserver", "", address)
	clientCert, clientKey := s.ca.issue(t, "apiserver-kubelet-client", "system:masters")
	tokens := filepath.Join(s.dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte(adminToken+`,admin,1,"system:masters"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	etcd, peer, port := "http://"+program.FreeAddress(t), "http://"+program.FreeAddress(t), freePort(t)
	etcdEnds := start(t, "ETCD", "--data-dir", s.dir+"/etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	serverEnds := start(t, "KUBE_APISERVER", "--etcd-servers", etcd, "--bind-address", address, "--secure-port", port,
		"--tls-cert-file", cert, "--tls-private-key-file", key, "--client-ca-file", s.ca.file,
		// It would look for an address of this machine that others reach.
		"--advertise-address", address, "--endpoint-reconciler-type", "none",
		"--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC", "--token-auth-file", tokens, "--allow-privileged",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", s.ca.key, "--service-account-signing-key-file", s.ca.key,
		// For exec and port-forward, where there is a kubelet.
		"--kubelet-client-certificate", clientCert, "--kubelet-client-key", clientKey, "--kubelet-certificate-authority", s.ca.file,
		"--kubelet-preferred-address-types", "InternalIP")

	s.url = "https://" + net.JoinHostPort(address, port)
	s.client = s.ca.client()
	for end := time.Now().Add(3 * time.Minute); ; {
		err := s.ready()
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
	s.version = server.GitVersion
	t.Logf("kube-apiserver %s, etcd %s", s.version, store.Server)
	return s
}

// kubeconfig returns the file by which clients come to the server as its administrator.
func (s *apiServer) kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(s.dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, s.url, s.ca.file, adminToken)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts the program that a variable names, and returns what has its error when it
// ends. It ends with the test, and its log is shown if the test failed.
func start(t *testing.T, variable string, args ...string) <-chan error {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Fatalf("%s has to name the program: docs/kubernetes.md", variable)
	}
	return run(t, exec.Command(program, args...)) //nolint:gosec // of the caller
}

// run starts a program as start does.
func run(t *testing.T, cmd *exec.Cmd) <-chan error {
	t.Helper()
	name := filepath.Base(cmd.Path)
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	ends, ended := make(chan error, 1), make(chan struct{})
	go func() {
		ends <- cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s: %s", name, b[max(0, len(b)-4000):])
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
	_, port, err := net.SplitHostPort(program.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ready reports whether the server answers for all its parts.
func (s *apiServer) ready() error {
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
